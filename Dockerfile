# One image, two roles: `signet operator` and `signet agent`.
FROM docker.io/library/node:24-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY scripts/build.ts scripts/
COPY src src
RUN node scripts/build.ts

FROM docker.io/library/node:24-bookworm-slim
LABEL org.opencontainers.image.title="signet" \
      org.opencontainers.image.description="SPIFFE workload identity for Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /src/dist /app
ENV NODE_ENV=production
USER 65532:65532
# A young generation of 8 MiB instead of up to 128: a third of the memory while pods are listed, and no slower.
ENTRYPOINT ["node", "--max-semi-space-size=8", "/app/signet.js"]
