# The software of all stages in one image, for a site that runs containers. Not built in this project's CI.
#   docker build --tag evenhand .                                      processors and NVIDIA GPUs (CUDA 13 wheels)
#   docker build --tag evenhand --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu126 .   for older drivers
#   apptainer build evenhand.sif docker-daemon://evenhand:latest        the same as an Apptainer image
# then, in a checkout of the workflow:
#   docker run --gpus all --user "$(id -u):$(id -g)" -v "$PWD:/study" evenhand snakemake
#   apptainer exec --nv evenhand.sif snakemake
FROM python:3.11-slim
ARG TORCH_INDEX=https://pypi.org/simple
COPY envs/requirements.lock envs/torch.lock /tmp/
RUN pip install --no-cache-dir --require-hashes --no-deps --requirement /tmp/requirements.lock && \
    pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" --requirement /tmp/torch.lock
# Snakemake keeps caches in the home folder, and the user of `docker run --user` has none.
ENV HOME=/tmp
WORKDIR /study
