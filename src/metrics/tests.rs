//! Buckets, sums over shards, and the text to the byte.

use super::text::{float, go_float};
use super::{CODES, Clients, Front, Histogram, Method, Page, Registry, Replica, Scale, Shape, Sum, Type};
use crate::limits::METRICS_CLIENT_VERSIONS_MAX;
use crate::types::ShardId;

#[test]
fn a_value_is_in_the_first_bucket_that_holds_it() {
    for scale in
        [Scale::seconds(1_000_000, 14), Scale::seconds(7, 3), Scale::numbers(1, 24), Scale::listed(&[5, 9, 70])]
    {
        let bounds: Vec<u64> = (0..scale.len()).map(|place| scale.bound(place)).collect();
        let mut values: Vec<u64> = bounds.iter().flat_map(|bound| [bound - 1, *bound, bound + 1]).collect();
        values.extend([0, 1, u64::MAX]);
        for value in values {
            let histogram = Histogram::new(scale);
            histogram.observe(value);
            let sum = Sum::of(scale, [&histogram]);
            let place = bounds.iter().position(|bound| value <= *bound).unwrap_or(bounds.len());
            assert_eq!(sum.buckets.iter().position(|count| *count == 1), Some(place), "{value} in {bounds:?}");
            assert_eq!((sum.count(), sum.sum), (1, value));
        }
    }
}

#[test]
fn numbers_look_as_gos() {
    for (value, text) in [
        (0.0, "0"),
        (0.001, "0.001"),
        (8.192, "8.192"),
        (0.0001, "0.0001"),
        (0.00005, "5e-05"),
        (52.4288, "52.4288"),
        (524_288.0, "524288"),
        (1_048_576.0, "1.048576e+06"),
        (8_388_608.0, "8.388608e+06"),
        (1.844_674_407_370_955_2e19, "1.8446744073709552e+19"),
    ] {
        assert_eq!(go_float(value), text);
    }
}

#[test]
fn whole_numbers_become_the_nearest_float() {
    for (value, expected) in
        [(0, 0.0), (7, 7.0), (1 << 53, 9_007_199_254_740_992.0), (u64::MAX, 1.844_674_407_370_955_2e19)]
    {
        assert_eq!(float(value), expected);
    }
}

#[test]
fn the_text_is_fixed_to_the_byte() {
    let mut page = Page::default();
    let histogram = Histogram::new(Scale::seconds(1_000_000, 2));
    histogram.observe(1_500_000);
    histogram.observe_many(9_000_000, 2);
    page.family("b_seconds", Type::Histogram, "Times.")
        .histogram(&[("a", "x\"\\\n")], &Sum::of(histogram.scale(), [&histogram]));
    page.family("c_empty", Type::Gauge, "Left out.");
    page.gauge("a_one", "One.", 7);
    let expected = "# HELP a_one One.\n# TYPE a_one gauge\na_one 7\n\
        # HELP b_seconds Times.\n# TYPE b_seconds histogram\n\
        b_seconds_bucket{a=\"x\\\"\\\\\\n\",le=\"0.001\"} 0\n\
        b_seconds_bucket{a=\"x\\\"\\\\\\n\",le=\"0.002\"} 1\n\
        b_seconds_bucket{a=\"x\\\"\\\\\\n\",le=\"+Inf\"} 3\n\
        b_seconds_sum{a=\"x\\\"\\\\\\n\"} 0.0195\n\
        b_seconds_count{a=\"x\\\"\\\\\\n\"} 3\n";
    assert_eq!(page.finish(), expected);
}

#[test]
fn methods_stand_at_their_places() {
    for (place, method) in Method::ALL.iter().enumerate() {
        assert_eq!((method.place(), Method::of(method.path())), (place, Some(*method)));
        assert!(!method.parts().0.is_empty() && !method.parts().1.contains('/'));
    }
    assert_eq!((Method::ALL.len(), CODES.len()), (45, 17));
    assert_eq!(Method::of("/etcdserverpb.KV/Nothing"), None);
}

#[test]
fn a_scrape_sums_the_shards() {
    let registry = Registry::new(3, true);
    for (shard, calls) in [(0, 1), (1, 2), (2, 4)] {
        let front = registry.front(ShardId(shard));
        for _ in 0..calls {
            front.on_started(Method::KvPut);
            front.on_handled(Method::KvPut, 8);
            front.on_handled_in(Method::KvPut, 6_000_000);
        }
    }
    let mut page = Page::default();
    registry.show_calls(&mut page);
    registry.show_times(&mut page);
    let text = page.finish();
    let labels = "grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"";
    assert!(text.contains(&format!("grpc_server_started_total{{{labels}}} 7\n")));
    assert!(text.contains(&format!("grpc_server_handled_total{{grpc_code=\"ResourceExhausted\",{labels}}} 7\n")));
    assert!(text.contains(&format!("grpc_server_handling_seconds_bucket{{{labels},le=\"0.01\"}} 7\n")));
    assert!(!text.contains("etcd_server_request_duration_seconds"), "nothing was requested yet");
    assert_eq!(text.lines().filter(|line| line.starts_with("grpc_server_handled_total{")).count(), 45 * 17);
}

#[test]
fn clients_cannot_fill_the_table() {
    let clients = Clients::default();
    for number in 0..1000 {
        clients.count(&format!("3.{number}"), Shape::Unary);
    }
    clients.count(&"x".repeat(1000), Shape::BidiStream);
    clients.count("3.0", Shape::BidiStream);
    let rows: Vec<_> = clients.rows().collect();
    assert_eq!(rows.len(), METRICS_CLIENT_VERSIONS_MAX + 1);
    assert_eq!(rows[0], ("3.0", 1, 1));
    assert_eq!(rows.last(), Some(&("other", 1000 - 16, 1)));
}

/// Cells of different shards never share a cache line.
#[test]
fn shards_have_lines_of_their_own() {
    assert!(align_of::<Front>() >= 128 && align_of::<Replica>() >= 128);
}
