# Two images from one file, with the same content on two bases.
#
#   docker build .                     the Astro image: the last stage, what `astro dev start` and `astro deploy` build
#   docker build --target airflow .    the same on Apache's own image: what docker-compose.yaml builds
#
# Astro's base is the `-base` variant: the plain one installs requirements.txt by itself before this file's first line
# runs, test tools and all, and would put PyPI's Airflow in the place of Astro's own build. Here that build stays,
# everything else gets the locked version, and should the two ever disagree the build stops and names the package.
# Both images hold the project as an editable install, since `include/` is on nobody's path and Astro mounts
# `include/`, `dags/` and `plugins/` over the copies during development.

# --- on Apache's image ---------------------------------------------------------------------------
FROM apache/airflow:3.3.2-python3.12 AS airflow

ENV DO_NOT_TRACK=1 GX_ANALYTICS_ENABLED=False MLFLOW_DISABLE_TELEMETRY=true OMP_NUM_THREADS=1
WORKDIR /opt/airflow

# The ledger key, the log-ins and the reports live here; a new volume takes over the owner.
USER root
RUN install --directory --owner=airflow --group=0 --mode=0770 /var/lib/steward
USER airflow

# The dependencies change less often than the code: they are a layer of their own, without the test tools.
COPY --chown=airflow:0 pyproject.toml requirements.txt README.md LICENSE ./
RUN mkdir -p include/steward plugins/steward_airflow \
 && pip install --no-cache-dir --constraint requirements.txt --editable .

COPY --chown=airflow:0 . .
# Without .pyc files every task start would pay about double for its imports.
RUN python -m compileall -q include/steward plugins

# --- on Astro's image ----------------------------------------------------------------------------
FROM astrocrpublic.azurecr.io/runtime:3.3-8-base

ENV DO_NOT_TRACK=1 GX_ANALYTICS_ENABLED=False MLFLOW_DISABLE_TELEMETRY=true OMP_NUM_THREADS=1

COPY pyproject.toml requirements.txt README.md LICENSE ./
USER root
RUN mkdir -p include/steward plugins/steward_airflow \
 && grep -vE '^apache-airflow(-core|-task-sdk)?==' requirements.txt > /tmp/constraints.txt \
 && uv pip freeze --system | grep -E '^apache-airflow(-core|-task-sdk)?==' >> /tmp/constraints.txt \
 && uv pip install --system --no-cache --compile-bytecode --constraint /tmp/constraints.txt --editable . \
 && rm /tmp/constraints.txt

COPY --chown=astro:0 . .
RUN python -m compileall -q include/steward plugins
USER astro
