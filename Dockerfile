# The whole service as one image: the API, or with another command of `wes` a worker or the embedded TES.
#
#   docker build -t wes-tes .
#   docker build -t wes-tes --build-arg ENGINES="cwl snakemake nextflow wdl" .
#
# Another base needs Debian's packages and Python 3.11 or later with its venv module.
ARG BASE_IMAGE=docker.io/library/python:3.12-slim-bookworm

FROM ${BASE_IMAGE} AS build
WORKDIR /src
COPY requirements/run.txt requirements/run.txt
RUN python3 -m venv /opt/wes \
    && /opt/wes/bin/python -m pip install --no-cache-dir --require-hashes -r requirements/run.txt
COPY . .
RUN /opt/wes/bin/python -m pip install --no-cache-dir --no-deps --no-build-isolation . \
    && /opt/wes/bin/wes --version

FROM ${BASE_IMAGE}
# Each engine with an environment of its own; the service itself can't write there.
ARG ENGINES="cwl"
RUN packages="bubblewrap tini" \
    && case " ${ENGINES} " in *" nextflow "*) packages="${packages} openjdk-17-jre-headless" ;; esac \
    && apt-get update \
    && apt-get install --yes --no-install-recommends ${packages} \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --home-dir /var/lib/wes --shell /usr/sbin/nologin wes \
    && install --directory --mode 0711 --owner wes --group wes /var/lib/wes /var/lib/tes
COPY --from=build /opt/wes /opt/wes
ENV PATH=/opt/wes/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    WES_DATA=/var/lib/wes \
    WES_ENGINES=/opt/engines \
    TES_DATA=/var/lib/tes \
    TES_HOST=0.0.0.0 \
    TES_PROGRAMS=/opt/engines
RUN for engine in ${ENGINES}; do wes engines install "${engine}" || exit 1; done
USER 10001:10001
VOLUME ["/var/lib/wes", "/var/lib/tes"]
EXPOSE 8080
# Of the API; a worker or a TES says it in its own way (docker-compose.yml).
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
ENTRYPOINT ["tini", "--", "wes"]
CMD ["api", "--host", "0.0.0.0"]
