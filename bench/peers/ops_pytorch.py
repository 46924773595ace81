"""PyTorch as a peer of bench_ops (ops_common.py has the protocol). Images are computed in both memory layouts. Backward
passes run through autograd with the graph kept, convolutions and products through the function that autograd calls."""
import math

from ops_common import Unsupported, parse_arguments, refuse, serve

args = parse_arguments(__doc__)
try:
    import torch
    import torch.nn.functional as F
except ImportError as error:
    refuse(f"{error}; install PyTorch (pip install torch) or name a Python that has it with --python")

LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
torch.manual_seed(1)
torch.set_num_threads(args.threads)


def image(shape, layout, **options):
    """Random pixels; `shape` is [N,H,W,C] as everywhere in Sagitta."""
    n, h, w, c = shape
    return torch.randn(n, c, h, w).contiguous(memory_format=layout).requires_grad_(options.get("gradient", False))


def without_gradient(run):
    def wrapped():
        with torch.no_grad():
            run()
    return wrapped


def backward(y, inputs):
    """The backward pass from y to inputs, again and again."""
    dy = torch.randn_like(y)
    return lambda: torch.autograd.grad(y, inputs, dy, retain_graph=True)


def conv2d(request, layout):
    x, weight = image(request["x"], layout), image(request["weight"], layout)
    stride, padding = [request["stride"]] * 2, [request["padding"]] * 2
    if request["direction"] == "forward":
        return without_gradient(lambda: F.conv2d(x, weight, None, stride, padding))
    with torch.no_grad():
        dy = torch.randn_like(F.conv2d(x, weight, None, stride, padding))
    mask = [request["direction"] == "dx", request["direction"] == "dweight", False]
    return without_gradient(lambda: torch.ops.aten.convolution_backward(
        dy, x, weight, None, stride, padding, [1, 1], False, [0, 0], 1, mask))


def batch_norm(request, layout):
    is_backward = request["direction"] == "backward"
    x = image(request["x"], layout, gradient=is_backward)
    residual = image(request["x"], layout, gradient=is_backward) if request["add"] else None
    channels = request["x"][3]
    gamma, beta = (torch.randn(channels, requires_grad=is_backward) for _ in range(2))
    mean, variance = torch.zeros(channels), torch.ones(channels)

    def forward():
        y = F.batch_norm(x, mean, variance, gamma, beta, True, 0.1, 1e-5)
        if residual is not None:
            y += residual
        return F.relu_(y) if request["relu"] else y
    if not is_backward:
        return without_gradient(forward)
    return backward(forward(), [each for each in (x, gamma, beta, residual) if each is not None])


def max_pool(request, layout):
    is_backward = request["direction"] == "backward"
    x = image(request["x"], layout, gradient=is_backward)
    y = F.max_pool2d(x, request["kernel"], request["stride"], request["padding"])
    if is_backward:
        return backward(y, [x])
    return without_gradient(lambda: F.max_pool2d(x, request["kernel"], request["stride"], request["padding"]))


def linear(request):
    x = torch.randn(request["rows"], request["inputs"])
    weight, bias = torch.randn(request["outputs"], request["inputs"]), torch.randn(request["outputs"])
    dy = torch.randn(request["rows"], request["outputs"])
    if request["direction"] == "dx":
        return without_gradient(lambda: dy @ weight)
    if request["direction"] == "dweight":
        return without_gradient(lambda: dy.t() @ x)
    if request["gelu"]:
        return without_gradient(lambda: F.gelu(F.linear(x, weight, bias)))
    return without_gradient(lambda: F.linear(x, weight, bias))


def attention(request):
    batch, tokens, heads, head_dim = (request[name] for name in ("batch", "tokens", "heads", "head_dim"))
    is_backward = request["direction"] == "backward"
    qkv = torch.randn(batch, tokens, 3 * heads * head_dim, requires_grad=is_backward)

    def forward():
        q, k, v = qkv.view(batch, tokens, 3, heads, head_dim).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, scale=1 / math.sqrt(head_dim))
        return y.transpose(1, 2).reshape(batch, tokens, heads * head_dim)
    return backward(forward(), [qkv]) if is_backward else without_gradient(forward)


def layer_norm(request):
    is_backward = request["direction"] == "backward"
    x = torch.randn(request["x"], requires_grad=is_backward)
    residual = torch.randn(request["x"]) if request["add"] else None
    width = request["x"][-1]
    gamma, beta = (torch.randn(width, requires_grad=is_backward) for _ in range(2))

    def forward():
        return F.layer_norm(x if residual is None else x + residual, [width], gamma, beta, 1e-12)
    return backward(forward(), [x, gamma, beta]) if is_backward else without_gradient(forward)


def optimizer(request, way):
    parameter = torch.nn.Parameter(torch.randn(request["parameters"]))
    parameter.grad = torch.randn(request["parameters"])
    options = {"lr": 1e-3, "weight_decay": 1e-4, way: True}
    if request["op"] == "sgd":
        return torch.optim.SGD([parameter], momentum=0.9, **options).step
    return torch.optim.AdamW([parameter], **options).step


IMAGES = {"conv2d": conv2d, "batch_norm": batch_norm, "max_pool": max_pool}
TOKENS = {"linear": linear, "attention": attention, "layer_norm": layer_norm}


def prepare(request):
    op = request["op"]
    if op in IMAGES:
        return {name: IMAGES[op](request, layout) for name, layout in LAYOUTS.items()}
    if op in TOKENS:
        return {"eager": TOKENS[op](request)}
    if op in ("sgd", "adam"):
        return {way: optimizer(request, way) for way in ("foreach", "fused")}
    raise Unsupported(op)


beyond_caches = torch.ones(32 << 20)
serve(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads", prepare, lambda: beyond_caches.sum())
