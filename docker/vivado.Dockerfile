# Bitstreams with Vivado: everything but Vivado, which docker/vivado-build.sh mounts.
#
#   docker build -f docker/vivado.Dockerfile -t edgebert-vivado docker
#
# BASE is the image of software.Dockerfile.
ARG BASE=edgebert

# hadolint ignore=DL3006
FROM ${BASE} AS tools
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
USER 0

# Vivado starts with libtinfo5 and an en_US.UTF-8 locale only; its scripts call the rest.
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        'curl=7.88.*' \
        'git=1:2.39.*' \
        'libc6-dev=2.36-*' \
        'libfontconfig1=2.14.*' \
        'libfreetype6=2.12.*' \
        'libglib2.0-0=2.74.*' \
        'libtinfo5=6.4-*' \
        'libx11-6=2:1.8.*' \
        'libxext6=2:1.3.*' \
        'libxi6=2:1.8-*' \
        'libxrender1=1:0.9.*' \
        'libxtst6=2:1.2.*' \
        'locales=2.36-*' \
        'procps=2:4.0.*' \
        'unzip=6.0-*' \
        'zip=3.0-*' \
    && rm -rf /var/lib/apt/lists/* \
    && sed -i 's/^# *en_US.UTF-8 /en_US.UTF-8 /' /etc/locale.gen \
    && locale-gen
USER 1000
ENV LANG=en_US.UTF-8 \
    FINN_DEPS=/opt/finn_deps

# Board files, and the libraries that FINN+ would clone when it builds, by commit.
FROM tools
ARG PYNQ_Z2_SHA256=
COPY finn-deps.txt fetch-finn-deps.sh /opt/
USER 0
RUN bash /opt/fetch-finn-deps.sh /opt/finn-deps.txt "${FINN_DEPS}"
USER 1000
