# The open tool chain, experimental: from an export to a bitstream for PYNQ-Z2, without Vivado.
#
#   docker build -f docker/open.Dockerfile -t edgebert-open docker
#
# BASE is the image of software.Dockerfile, which has Yosys (pyosys). nextpnr and prjxray come from
# Debian sid, whose C library is another one: so they lie in /opt/sid with all that they need, and are
# run with its loader. Of their parts' databases those of Zynq-7000 stay.
ARG BASE=edgebert
ARG SID=debian:sid-slim

# hadolint ignore=DL3006
FROM ${SID} AS sid
SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# sid changes daily. When these versions have left it, MIRROR takes a day of the archive at which they
# were there, such as http://snapshot.debian.org/archive/debian/20261030T000000Z; such a day is older
# than its index says it lasts.
ARG MIRROR=http://deb.debian.org/debian
RUN rm -f /etc/apt/sources.list.d/* \
    && echo "deb ${MIRROR} sid main" > /etc/apt/sources.list \
    && apt-get -o Acquire::Check-Valid-Until=false update \
    && apt-get install -y --no-install-recommends \
        'nextpnr-himbaechel-xilinx=0.11.1+dfsg-*' \
        'nextpnr-himbaechel-xilinx-chipdb=0.11.1+dfsg-*' \
        'prjxray=0.1+git3356.*' \
        'prjxray-database=0.1+git3356.*' \
    && rm -rf /var/lib/apt/lists/* /usr/share/doc /usr/share/locale /usr/share/man \
        /usr/share/nextpnr/himbaechel/xilinx/chipdb-xc7[as]*.bin \
        /usr/share/prjxray/database/artix7 /usr/share/prjxray/database/kintex7 \
        /usr/share/prjxray/database/spartan7

# hadolint ignore=DL3006
FROM ${BASE}
COPY --from=sid /usr /opt/sid/usr
USER 0
RUN ln -s usr/lib64 /opt/sid/lib64
USER 1000
ENV EDGEBERT_TOOLS_ROOT=/opt/sid
