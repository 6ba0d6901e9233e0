"""Deep Kernel Shaping and Tailored Activation Transformation: activation functions adapted to a network's depth.

Sources: J. Martens, A. Ballard, G. Desjardins, G. Swirszcz, V. Dalibard, J. Sohl-Dickstein, S. Schoenholz, Rapid
training of deep neural networks without skip connections or normalization layers using Deep Kernel Shaping, arXiv
2110.01765 (DKS); G. Zhang, A. Botev, J. Martens, Deep Learning without Shortcuts: Shaping the Kernel with Tailored
Rectifiers, arXiv 2203.08120 (TAT).

`maps` has the local Q and C maps of one wide layer, `network` the global maps of a network, and `tailor` the activation
functions whose global maps satisfy the conditions of TAT or DKS. `shaped_net` compares a network with its global C map.
"""
