"""A fully connected layer and a convolution of 1 x 1 with the same weights: the same numbers, and what differs."""

import sys
from pathlib import Path

from matplotlib.figure import Figure

import tinytensor as tt
from tinytensor import nn

out = Path(sys.argv[1] if len(sys.argv) > 1 else "pictures")
out.mkdir(parents=True, exist_ok=True)

tt.manual_seed(0)
image = tt.randn(1, 3, 6, 8)  # one image of 3 channels, 6 x 8 pixels
conv, linear = nn.Conv2d(3, 2, kernel_size=1), nn.Linear(3, 2)
linear.load_state_dict({"weight": conv.weight.reshape(2, 3), "bias": conv.bias})
print("weights:", tuple(conv.weight.shape), tuple(linear.weight.shape))

pixels = image.permute(0, 2, 3, 1)  # Linear takes the last dimension: channels go there
by_conv, by_linear = conv(image), linear(pixels)
print("outputs:", tuple(by_conv.shape), tuple(by_linear.shape))
for row, column in (0, 0), (2, 5):
    one, other = by_conv[0, :, row, column], by_linear[0, row, column]
    print(f"pixel ({row}, {column}): {one.detach()} {other.detach()}")
print("all the same:", tt.allclose(by_conv, by_linear.permute(0, 3, 1, 2)))

by_conv.square().mean().backward()
by_linear.square().mean().backward()
same = tt.allclose(conv.weight.grad.reshape(2, 3), linear.weight.grad)
print("gradients the same:", same)

every = nn.Linear(3 * 6 * 8, 2 * 6 * 8)
full = nn.Sequential(nn.Flatten(), every, nn.Unflatten(1, (2, 6, 8)))
layers = {
    "1x1 convolution": conv,
    "3x3 convolution": nn.Conv2d(3, 2, kernel_size=3, padding=1),
    "fully connected": full,
}
panels = Figure(figsize=(9, 2.6), layout="constrained").subplots(1, 3)
for axes, (name, layer) in zip(panels, layers.items()):
    x = image.clone().requires_grad_()
    layer(x)[0, 0, 2, 5].backward()  # one output: channel 0 of pixel (2, 5)
    seen = x.grad[0] != 0
    print(f"{name}: {sum(p.numel() for p in layer.parameters())} parameters;", end=" ")
    pixels, channels = int(seen.any(0).sum()), int(seen.any(2).any(1).sum())
    print(f"one output depends on pixels: {pixels}, channels: {channels}")
    colors = {"cmap": "Blues", "vmin": 0, "vmax": 1.6, "edgecolors": "#999999", "lw": 0.5}
    axes.pcolormesh(range(8), range(6), seen.any(0).numpy(), **colors)
    axes.plot(5, 2, "o", ms=9, color="#d55e00")
    axes.set(title=name, xlabel="column", ylabel="row", aspect="equal", ylim=(5.5, -0.5))
panels[0].figure.savefig(out / "l_seen.png", dpi=110)

larger = tt.randn(1, 3, 20, 20)
print("1x1 convolution of 20 x 20 pixels:", tuple(conv(larger).shape))
try:
    full(larger)
except ValueError as error:
    print("fully connected:", error)

whole, dense = nn.Conv2d(3, 10, kernel_size=(6, 8)), nn.Linear(3 * 6 * 8, 10)
dense.load_state_dict({"weight": whole.weight.flatten(1), "bias": whole.bias})
same = tt.allclose(whole(image).flatten(1), dense(image.flatten(1)), atol=1e-6)
print("kernel of the image's size:", same)
