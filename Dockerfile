# Serves a trained network that is mounted at /model: docs/serving.md has the commands.
FROM python:3.12-slim

# Where pip finds packages, if not where it does by itself: an index with torch's CPU build makes a much smaller image.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL

COPY pyproject.toml README.md LICENSE requirements.lock /source/
COPY src /source/src
# The versions of the lock, for what serving needs of it.
RUN sed -e '/--hash=/d' -e 's/ *\\$//' /source/requirements.lock > /tmp/versions \
    && pip install --no-cache-dir --constraint /tmp/versions '/source[serve,inference,heif]' \
    && rm -r /source /tmp/versions

RUN useradd --create-home --uid 1000 resnets
USER resnets
WORKDIR /home/resnets

EXPOSE 8000
HEALTHCHECK --start-period=120s --interval=30s --timeout=5s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]

# No shell in between: resnets itself is sent SIGTERM, and answers what it has accepted before it ends.
ENTRYPOINT ["resnets", "serve", "--host", "0.0.0.0"]
CMD ["/model"]
