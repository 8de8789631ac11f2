"""Export formats, one a file: plain module -> file, checked for equal outputs."""

import lazy_loader

from frugalmtl.core.registry import Registry

EXPORTERS = Registry(
    "frugalmtl.export",
    "export format",
    elsewhere={
        "tensorrt": "write onnx, and build the engine where it runs, by trtexec --onnx=FILE",
        "openvino": "write onnx, which OpenVINO reads as it is, or converts by ovc FILE",
        "coreml": "write torch_export, and convert it by coremltools",
        "tflite": "write torch_export, and convert it by litert-torch",
        "torchscript": "write torch_export, which took its place in PyTorch",
    },
)

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["EXPORTERS"]
