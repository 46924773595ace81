"""oneDNN as a peer of bench_ops (ops_common.py has the protocol): its kernels alone, without a framework around them.
Every operation is computed in the layouts that oneDNN likes best ("blocked"; inputs and weights lie in them already, so
no reordering is timed) and in plain ones ("plain": channels last, row-major).

The library is the one inside PyTorch, so that its version is the rival's own. Its functions are not exported, but their
addresses are in the symbol table, which `nm` (binutils) prints. --library takes any libdnnl.so 3.x instead."""
import array
import ctypes
import importlib.util
import os
import pathlib
import random
import subprocess

from ops_common import Unsupported, parse_arguments, refuse, serve

args = parse_arguments(__doc__)
os.environ["OMP_NUM_THREADS"] = str(args.threads)  # read when the library is loaded

# From oneapi/dnnl/dnnl_types.h
F32, ANY, CPU, DEFAULT_STREAM = 3, 1, 1, 1
TRAINING, INFERENCE, BACKWARD = 64, 96, 128
DIRECT, GELU_ERF = 1, 49
USE_SCALE, USE_SHIFT, FUSE_RELU, FUSE_ADD_RELU = 2, 4, 8, 16
QUERY = {"src": 129, "dsrc": 130, "weights": 131, "dweights": 132, "dst": 133, "ddst": 134, "workspace": 135}
ARGUMENT = {"src": 1, "add": 2, "dst": 17, "weights": 33, "bias": 41, "mean": 49, "variance": 50, "scale": 51, "shift": 52,
            "workspace": 64, "dsrc": 129, "dadd": 130, "ddst": 145, "dweights": 161, "dscale": 255, "dshift": 256}


def find_functions():
    """A function that returns the address of each of oneDNN's functions by name."""
    if args.library:
        library = ctypes.CDLL(args.library)
        return lambda name: ctypes.cast(getattr(library, name), ctypes.c_void_p).value
    torch = importlib.util.find_spec("torch")
    if torch is None:
        refuse("there is no PyTorch, whose oneDNN is used: pip install torch, or name a libdnnl.so 3.x with --onednn")
    path = pathlib.Path(torch.origin).parent / "lib" / "libtorch_cpu.so"
    try:
        lines = subprocess.run(["nm", path], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError) as error:
        refuse(f"{path}: its symbols cannot be read ({error}); install binutils, or name a libdnnl.so 3.x with --onednn")
    offsets = {name: int(address, 16) for address, kind, name in (line.split(" ", 2) for line in lines if line[0] != " ")
               if kind in "tT"}
    if "dnnl_primitive_execute" not in offsets:
        refuse(f"{path} shows no oneDNN; name a libdnnl.so 3.x with --onednn")
    library = ctypes.CDLL(str(path))
    exported = "THPVariable_Wrap" if "THPVariable_Wrap" in offsets else next(
        name for name in offsets if name.startswith("_ZN2at") and hasattr(library, name))
    base = ctypes.cast(getattr(library, exported), ctypes.c_void_p).value - offsets[exported]
    return lambda name: base + offsets[name]


try:
    address_of = find_functions()
except OSError as error:
    refuse(f"oneDNN cannot be loaded: {error}")
functions = {}


def call(name, *arguments):
    """Calls dnnl_<name>; pointers are ctypes objects or None, integers are C ints, floats C floats."""
    if name not in functions:
        functions[name] = ctypes.CFUNCTYPE(ctypes.c_int)(address_of("dnnl_" + name))
    status = functions[name](*[ctypes.c_float(each) if isinstance(each, float) else each for each in arguments])
    if status != 0:
        raise Unsupported(f"dnnl_{name} returned {status}")


def made(name, *arguments):
    """The object that dnnl_<name> makes. They live as long as the process: a benchmark makes few."""
    handle = ctypes.c_void_p()
    call(name, ctypes.byref(handle), *arguments)
    return handle


def dims(*values):
    return (ctypes.c_int64 * 12)(*values)


def plain(*extents, order=None):
    """A memory descriptor; `order` lists the axes from the outermost in memory to the innermost."""
    strides, step = [0] * len(extents), 1
    for axis in reversed(order or range(len(extents))):
        strides[axis], step = step, step * extents[axis]
    return made("memory_desc_create_with_strides", len(extents), dims(*extents), F32, dims(*strides))


def any_layout(*extents):
    return made("memory_desc_create_with_tag", len(extents), dims(*extents), F32, ANY)


class ExecArgument(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_int), ("memory", ctypes.c_void_p)]


engine = made("engine_create", CPU, ctypes.c_size_t(0))
stream = made("stream_create", engine, DEFAULT_STREAM)
noise = array.array("f", (random.gauss(0, 1) for _ in range(1 << 16)))
memories = []


def memory(descriptor):
    """Memory with random values."""
    handle = made("memory_create", descriptor, engine, ctypes.c_void_p(-1))
    memories.append(handle)
    size_function = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p)(address_of("dnnl_memory_desc_get_size"))
    size, data = size_function(descriptor), ctypes.c_void_p()
    call("memory_get_data_handle", handle, ctypes.byref(data))
    block = noise.itemsize * len(noise)
    for begin in range(0, size, block):
        ctypes.memmove(data.value + begin, noise.buffer_info()[0], min(block, size - begin))
    return handle


def queried(primitive_desc, name):
    query = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int)(
        address_of("dnnl_primitive_desc_query_md"))
    return ctypes.c_void_p(query(primitive_desc, QUERY[name], 0))


def runner(primitive_desc, names, **others):
    """Runs the primitive on memory for the arguments `names`, as it wants them laid out, and `others` as given."""
    primitive = made("primitive_create", primitive_desc)
    arguments = {name: memory(queried(primitive_desc, name)) for name in names} | others
    packed = (ExecArgument * len(arguments))(
        *[ExecArgument(ARGUMENT[name], handle) for name, handle in arguments.items()])

    def run():
        call("primitive_execute", primitive, stream, len(arguments), packed)
        call("stream_wait", stream)
    return run


def conv2d(request, blocked):
    n, h, w, c = request["x"]
    o, kh, kw, _ = request["weight"]
    stride, padding = request["stride"], request["padding"]
    extents = {"x": (n, c, h, w), "weight": (o, c, kh, kw),
               "y": (n, o, (h + 2 * padding - kh) // stride + 1, (w + 2 * padding - kw) // stride + 1)}
    layout = {name: any_layout(*each) if blocked else plain(*each, order=(0, 2, 3, 1)) for name, each in extents.items()}
    if request["direction"] != "dweight":
        layout["weight"] = any_layout(*extents["weight"])  # reordered once, before the timing
    shape = dims(stride, stride), dims(0, 0), dims(padding, padding), dims(padding, padding)
    forward = made("convolution_forward_primitive_desc_create", engine, TRAINING, DIRECT, layout["x"], layout["weight"], None,
                   layout["y"], *shape, None)
    if request["direction"] == "forward":
        return runner(forward, ["src", "weights", "dst"])
    if request["direction"] == "dx":
        return runner(made("convolution_backward_data_primitive_desc_create", engine, DIRECT, layout["x"], layout["weight"],
                           layout["y"], *shape, forward, None), ["dsrc", "weights", "ddst"])
    return runner(made("convolution_backward_weights_primitive_desc_create", engine, DIRECT, layout["x"], layout["weight"],
                       None, layout["y"], *shape, forward, None), ["src", "dweights", "ddst"])


def linear(request, blocked):
    rows, inputs, outputs = request["rows"], request["inputs"], request["outputs"]
    describe = any_layout if blocked else plain
    x, weight, y = describe(rows, inputs), describe(outputs, inputs), describe(rows, outputs)
    bias, attributes = plain(outputs), None
    if request["direction"] == "forward" and request["gelu"]:
        # Inference's form: the value before GELU, which training keeps, is not written. In oneDNN's favor.
        attributes, steps = made("primitive_attr_create"), made("post_ops_create")
        call("post_ops_append_eltwise", steps, GELU_ERF, 0.0, 0.0)
        call("primitive_attr_set_post_ops", attributes, steps)
    kind = TRAINING if attributes is None else INFERENCE
    forward = made("inner_product_forward_primitive_desc_create", engine, kind, x, weight, bias, y, attributes)
    if request["direction"] == "forward":
        return runner(forward, ["src", "weights", "dst"], bias=memory(bias))
    if request["direction"] == "dx":
        return runner(made("inner_product_backward_data_primitive_desc_create", engine, x, weight, y, forward, None),
                      ["dsrc", "weights", "ddst"])
    return runner(made("inner_product_backward_weights_primitive_desc_create", engine, x, weight, None, y, forward, None),
                  ["src", "dweights", "ddst"])


OPERATIONS = {"conv2d": conv2d, "linear": linear}


def prepare(request):
    while memories:
        call("memory_destroy", memories.pop())
    if request["op"] not in OPERATIONS:
        raise Unsupported(request["op"])
    ways, reasons = {}, []
    for name, blocked in (("blocked", True), ("plain", False)):
        try:
            ways[name] = OPERATIONS[request["op"]](request, blocked)
        except Unsupported as reason:
            reasons.append(str(reason))
    if not ways:
        raise Unsupported(", ".join(reasons))
    return ways


class Version(ctypes.Structure):
    _fields_ = [("major", ctypes.c_int), ("minor", ctypes.c_int), ("patch", ctypes.c_int)]


def empty_caches():
    call("primitive_execute", copy, stream, 2, copy_arguments)
    call("stream_wait", stream)


large = plain(16 << 20)
source, copied = (made("memory_create", large, engine, ctypes.c_void_p(-1)) for _ in range(2))
copy = made("primitive_create", made("reorder_primitive_desc_create", large, engine, large, engine, None))
copy_arguments = (ExecArgument * 2)(ExecArgument(ARGUMENT["src"], source), ExecArgument(ARGUMENT["dst"], copied))
version = ctypes.CFUNCTYPE(ctypes.POINTER(Version))(address_of("dnnl_version"))().contents
if version.major != 3:
    refuse(f"oneDNN {version.major}.{version.minor}.{version.patch} is not 3.x, whose functions are called here")
serve(f"oneDNN {version.major}.{version.minor}.{version.patch}{'' if args.library else ' inside PyTorch'}, "
      f"{args.threads} threads", prepare, empty_caches)
