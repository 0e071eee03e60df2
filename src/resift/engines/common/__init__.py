"""What the engines share: the pipeline from requests to scores, networks that read pairs, ONNX Runtime sessions."""
