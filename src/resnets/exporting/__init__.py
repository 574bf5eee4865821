"""Trained networks as files for other runtimes, ONNX, torch.export and OpenVINO, each verified when it is written."""
