# The image of every Vigie process: the Ray head, the scorers and the pipeline.
#
#   docker build -t vigie .                                      CPU, the small torch
#   docker build -t vigie --build-arg TORCH_BACKEND=default .    the registry's torch, with CUDA
FROM python:3.13-slim-bookworm AS build
ARG TORCH_BACKEND=cpu
WORKDIR /src
COPY requirements requirements
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements/build.txt \
    && uv venv --no-python-downloads --python /usr/local/bin/python /opt/vigie
# The dependencies are a layer of their own: a change of the code does not fetch them again.
RUN UV_NO_CACHE=1 UV=uv requirements/install.sh \
    /opt/vigie/bin/python requirements/runtime.txt "$TORCH_BACKEND"
COPY . .
RUN uv build --wheel --no-build-isolation --python /usr/local/bin/python \
    && uv pip install --python /opt/vigie/bin/python --no-deps --no-cache dist/*.whl

FROM python:3.13-slim-bookworm
RUN useradd --uid 10001 --create-home vigie
COPY --from=build /opt/vigie /opt/vigie
# One thread a process: Vigie scales by workers, and threads that fight for a core score slower.
ENV PATH=/opt/vigie/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 \
    RAY_USAGE_STATS_ENABLED=0
USER 10001
WORKDIR /home/vigie
ENTRYPOINT ["vigie"]
CMD ["--help"]
