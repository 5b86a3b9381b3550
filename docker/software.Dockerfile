# Training, export, verification, RTL and simulation: no vendor tool.
#
#   docker build -f docker/software.Dockerfile -t edgebert .
#   docker run --rm -it -v "$PWD/runs:/home/edgebert/edgebert/runs" edgebert make demo
#
# The base is an argument, so that a mirrored or locally built Debian can take its place. It has to
# be Debian bookworm: the versions below are its own, of which security updates change the end only.
ARG BASE=debian:bookworm-slim
FROM ${BASE}

SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# g++, make and perl: Verilator writes C++ and compiles it.
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        'ca-certificates=2023*' \
        'g++=4:12.2.*' \
        'make=4.3-*' \
        'perl=5.36.*' \
        'python3=3.11.*' \
        'python3-venv=3.11.*' \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 1000 edgebert \
    && install -d -o edgebert -g edgebert /home/edgebert/edgebert
USER 1000
WORKDIR /home/edgebert/edgebert
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

# The packages are a layer of their own, which other sources leave as it is. The CPU build of torch
# unless TORCH_INDEX is empty: then pip's own index decides, which gives the CUDA build, of several
# gigabytes. The secrets are a pip configuration and a CA bundle, for where pip needs any.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY --chown=edgebert:edgebert Makefile requirements.lock ./
RUN --mount=type=secret,id=pip,uid=1000 --mount=type=secret,id=ca,uid=1000 \
    export PIP_CONFIG_FILE=/run/secrets/pip \
    && python3 -m venv .venv \
    && .venv/bin/pip install ${TORCH_INDEX:+--extra-index-url "${TORCH_INDEX}"} \
        "$(sed -n 's/^TORCH := //p' Makefile)" \
    && .venv/bin/pip install --no-deps -r requirements.lock

COPY --chown=edgebert:edgebert . .
RUN --mount=type=secret,id=pip,uid=1000 --mount=type=secret,id=ca,uid=1000 \
    PIP_CONFIG_FILE=/run/secrets/pip make setup
ENV PATH=/home/edgebert/edgebert/.venv/bin:$PATH

CMD ["/bin/bash"]
