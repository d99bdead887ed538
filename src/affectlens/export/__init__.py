"""A model as one file for other programs: ONNX, OpenVINO or safetensors, compared with the model itself."""
