# A single-node Apache Kafka (KRaft) from Debian packages and the Maven artifacts of infra/kafka/pom.xml.
FROM debian:bookworm-slim AS jars
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates default-jre-headless maven \
 && rm -rf /var/lib/apt/lists/*
# Java keeps a trust store of its own, filled from single certificates; a base image may trust more in its one bundle.
RUN awk '/BEGIN CERT/ {n++} n {print > sprintf("/usr/local/share/ca-certificates/base-%03d.crt", n)}' \
      /etc/ssl/certs/ca-certificates.crt \
 && update-ca-certificates
COPY infra/kafka/pom.xml /build/pom.xml
RUN mvn -B -q -ntp -f /build/pom.xml dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=/jars

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends default-jre-headless \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /var/lib/kafka --create-home kafka
COPY --from=jars /jars /opt/kafka/jars
COPY infra/kafka/log4j2.properties /opt/kafka/
COPY infra/docker/kafka-start /usr/local/bin/
USER kafka
ENV KAFKA_ADVERTISED=localhost:9092 KAFKA_HEAP=768m
EXPOSE 9092
VOLUME /var/lib/kafka
# The broker registers with its own controller last, so an open port means that it answers.
HEALTHCHECK --interval=2s --timeout=5s --start-period=60s --retries=15 \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9092"]
CMD ["kafka-start"]
