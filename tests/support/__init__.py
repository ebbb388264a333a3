"""What tests share: real registries, real base images, the command as a subprocess, an independent reader of images."""
