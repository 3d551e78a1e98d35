# Redis with the durability settings of the state database; runs as the package's own user.
FROM redis:7-bookworm
RUN mkdir -p /data && chown redis:redis /data
COPY infra/docker/redis.conf /etc/recsys-redis.conf
COPY infra/docker/redis-start /usr/local/bin/
USER redis
WORKDIR /data
VOLUME /data
EXPOSE 6379
HEALTHCHECK --interval=2s --timeout=3s --start-period=10s --retries=15 CMD ["redis-cli", "ping"]
CMD ["redis-start"]
