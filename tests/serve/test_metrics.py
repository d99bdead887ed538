"""What the service counts, and the counts of several replicas together."""

import pickle

from prometheus_client.parser import text_string_to_metric_families

from affectlens.serve.metrics import ServeMetrics, text_of_replicas


def test_counts_of_replicas_keep_their_values_under_a_label_of_their_own() -> None:
    first, second = ServeMetrics(), ServeMetrics()
    first.requests.labels("/v1/predict", "200").inc(3)
    second.requests.labels("/v1/predict", "200").inc(4)
    second.seconds.labels("/v1/predict").observe(0.3)
    # As they are sent from process to process.
    counts = {
        name: pickle.loads(pickle.dumps(each.families())) for name, each in (("a", first), ("b", second))
    }
    families = {each.name: each for each in text_string_to_metric_families(text_of_replicas(counts).decode())}
    alone = {each.name: each for each in text_string_to_metric_families(second.text().decode())}
    found = {
        sample.labels["replica"]: sample.value
        for sample in families["affectlens_requests"].samples
        if sample.name == "affectlens_requests_total"
    }
    assert found == {"a": 3, "b": 4}
    assert families.keys() == alone.keys()
    for name, family in alone.items():
        of_second = [
            ({key: value for key, value in sample.labels.items() if key != "replica"}, sample.value)
            for sample in families[name].samples
            if sample.labels["replica"] == "b"
        ]
        assert of_second == [(sample.labels, sample.value) for sample in family.samples]
