"""T34: three brokers that are restarted one after the other, under load."""

from __future__ import annotations

from infra.devtools.kafka_cluster import KafkaCluster
from tests.faults.cases.kills import RECOVERY_S, start
from tests.faults.findings import Findings, case, conclude
from tests.faults.serving import Api, publish_model
from tests.faults.stage import Stage

BROKERS = 3
RUN_S = 12.0


@case("T34", "three brokers, restarted one after the other, in order and by kill -9")
def rolling_restart(stage: Stage) -> Findings:
    findings = Findings()
    with KafkaCluster(stage.folder / "cluster", BROKERS) as cluster:
        stage.move_to(cluster.bootstrap_servers)
        publish_model(stage)
        start(stage)
        with Api(stage) as api:
            api.forget()
            for turn in range(stage.times(2, least=1) * BROKERS):
                node = cluster.nodes[turn % BROKERS]
                if turn % 2:
                    node.kill()
                else:
                    node.stop()
                stage.wait(max(3.0, RUN_S * stage.scale))
                node.start()
                findings.recovered(stage.recover(RECOVERY_S), RECOVERY_S)
                findings.figures["restarts"] = turn + 1
            findings.problems += api.problems()
        return conclude(stage, findings)
