# The function that reads text in pixels: an OCR engine with its models, too large for a zip.
# docker build -f infra/docker/ocr.Dockerfile -t isocenter-ocr .   (from the root of the repository)
# The handler is that of every step; a state machine calls this function in place of the one made of the zip.
ARG PYTHON_VERSION=3.12
FROM public.ecr.aws/lambda/python:${PYTHON_VERSION}

COPY requirements/ocr-lambda.txt /tmp/requirements/
RUN python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes \
        --only-binary=:all: --target "${LAMBDA_TASK_ROOT}" -r /tmp/requirements/ocr-lambda.txt \
    && rm -rf /tmp/requirements

COPY LICENSE ${LAMBDA_TASK_ROOT}/LICENSE
COPY src/isocenter ${LAMBDA_TASK_ROOT}/isocenter
RUN rm -rf "${LAMBDA_TASK_ROOT}/isocenter/cli" "${LAMBDA_TASK_ROOT}/isocenter/testing" \
    && python -m compileall -q --invalidation-mode unchecked-hash "${LAMBDA_TASK_ROOT}"

CMD ["isocenter.lambdas.step.handler"]
