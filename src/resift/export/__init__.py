"""Models into folders the `onnx` engine reads. Needs torch and onnx: `pip install 'resift[export]'`."""
