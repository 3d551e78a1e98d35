# The project's own processes. One image per layer: EXTRAS names the extras of pyproject.toml it gets, so that the API's
# image holds no TensorFlow. Every package comes from requirements/lock.txt and is checked against its hashes.
FROM python:3.11-slim-bookworm AS build
ARG EXTRAS="serving"
RUN python3 -m venv /opt/build && /opt/build/bin/pip install --quiet --disable-pip-version-check uv==0.13.9 \
 && python3 -m venv --without-pip /opt/venv
ENV UV_PYTHON=/opt/venv/bin/python UV_SYSTEM_CERTS=1
COPY requirements/lock.txt pyproject.toml infra/docker/lock-subset /src/
WORKDIR /src
RUN set -e; extras=""; for extra in $EXTRAS; do extras="$extras --extra $extra"; done; \
    /opt/build/bin/uv pip compile --quiet pyproject.toml $extras --constraint lock.txt --no-annotate --no-header > names.txt; \
    python3 lock-subset lock.txt names.txt > locked.txt; \
    /opt/build/bin/uv pip sync --quiet --require-hashes locked.txt
COPY . /src/project
RUN /opt/build/bin/uv pip install --quiet --no-deps /src/project

FROM python:3.11-slim-bookworm
ARG EXTRAS="serving"
# The baseline iALS of the batch layer (implicit) is compiled with OpenMP, whose library no wheel brings.
RUN set -e; case " $EXTRAS " in *" batch "*) apt-get update -qq; \
    apt-get install --yes -qq --no-install-recommends libgomp1; rm -rf /var/lib/apt/lists/* ;; esac
RUN useradd --system --uid 10001 --home-dir /var/lib/recsys --create-home recsys \
 && mkdir -p /var/lib/recsys/models /var/lib/recsys/reports /var/lib/recsys/serving \
 && chown -R recsys:recsys /var/lib/recsys
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    RECSYS_MODELS_DIR=/var/lib/recsys/models RECSYS_REPORTS_DIR=/var/lib/recsys/reports \
    RECSYS_SERVING_STATE_DIR=/var/lib/recsys/serving RECSYS_LOG_FORMAT=json
USER recsys
WORKDIR /var/lib/recsys
ENTRYPOINT ["recsys"]
CMD ["--help"]
