"""Deep Kernel Shaping and Tailored Activation Transformation: activation functions made for a network's depth.

Sources: J. Martens, A. Ballard, G. Desjardins, G. Swirszcz, V. Dalibard, J. Sohl-Dickstein, S. Schoenholz, Rapid
training of deep neural networks without skip connections or normalization layers using Deep Kernel Shaping, arXiv
2110.01765 (DKS); G. Zhang, A. Botev, J. Martens, Deep Learning without Shortcuts: Shaping the Kernel with Tailored
Rectifiers, arXiv 2203.08120 (TAT).

`maps` says what one wide layer does to lengths and angles, `network` what many do, `tailor` how an activation function
has to be changed so that the network does what trains well.
"""
