"""Published weights, from PyTorch's, safetensors' and Keras' files, put into the layers of our backbones."""
