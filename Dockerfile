# The image of every Vigie process: pipeline, Ray nodes, gateway, and the commands.
#
#   docker build -t vigie .                       for CPUs (target cpu, the default)
#   docker build -t vigie:cuda --target cuda .    for NVIDIA GPUs
#
# It runs as user 10001 with a read-only root file system: what is written goes to /tmp (a tmpfs)
# and to volumes at /models, /data. docs/decisions/0032-the-image.md has the reasons.
#
# The base is pinned by its tag. To pin it by digest too, so that a build is the same next year:
#   docker build --build-arg PYTHON_IMAGE=python:3.13-slim-bookworm@sha256:... .
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY requirements requirements
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements/build.txt \
    && uv venv --no-python-downloads --python /usr/local/bin/python /opt/vigie

FROM build AS wheel
COPY . .
RUN uv build --wheel --no-build-isolation --python /usr/local/bin/python --out-dir /dist

# The dependencies are a layer of their own: a change of the code does not fetch them again.
FROM build AS install-cpu
ARG TORCH_BACKEND=cpu
RUN UV_NO_CACHE=1 UV=uv requirements/install.sh \
        /opt/vigie/bin/python requirements/image.txt "${TORCH_BACKEND}" \
    && requirements/slim.sh /opt/vigie
COPY --from=wheel /dist /dist
RUN uv pip install --python /opt/vigie/bin/python --no-deps --no-cache --compile-bytecode /dist/*.whl

FROM build AS install-cuda
RUN UV_NO_CACHE=1 UV=uv requirements/install.sh \
        /opt/vigie/bin/python requirements/image.txt default \
    && requirements/slim.sh /opt/vigie
COPY --from=wheel /dist /dist
RUN uv pip install --python /opt/vigie/bin/python --no-deps --no-cache --compile-bytecode /dist/*.whl

FROM ${PYTHON_IMAGE} AS runtime
# The folders of volumes are there, and the user's: a new volume takes that over.
RUN useradd --uid 10001 --no-create-home --home-dir /tmp vigie \
    && install --directory /etc/vigie \
    && install --directory --owner=10001 --group=10001 /models /data
# One thread a process: Vigie scales by workers, and threads that fight for a core score slower.
# Whatever keeps files beside the code or in a home folder is sent to /tmp.
ENV PATH=/opt/vigie/bin:$PATH \
    HOME=/tmp \
    NUMBA_CACHE_DIR=/tmp/numba \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 \
    RAY_USAGE_STATS_ENABLED=0
USER 10001:10001
# A vigie.toml that is mounted here is found by itself.
WORKDIR /etc/vigie
ENTRYPOINT ["vigie"]
CMD ["--help"]

FROM runtime AS cuda
# What the container runtime of NVIDIA is to bring in; the CUDA libraries are those of torch.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=install-cuda /opt/vigie /opt/vigie

FROM runtime AS cpu
COPY --from=install-cpu /opt/vigie /opt/vigie
