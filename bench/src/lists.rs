//! What a page of a listing costs when there is little and when there is much to list.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Value, json};
use wire::client::Client;

use crate::longshore::{Longshore, Place, ecs};
use crate::report::{Report, Sample, ms};

/// Requests under way while what is to be listed is made.
const MAKERS: usize = 64;
/// Revisions of each family.
const REVISIONS: u32 = 10;
/// How much slower a page may be with more behind it: noise of the machine included.
const GOAL_TIMES: f64 = 1.5;

/// A page of 100, with 1,000 definitions and with 100,000
#[derive(Args, Debug)]
pub struct Lists {
    /// Definitions at first
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    few: u32,
    /// Definitions at last
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    many: u32,
    /// Pages of each kind
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pages: u16,
}

/// What is listed: the name in the report, the operation and its request.
type Listing = (&'static str, &'static str, Value);

impl Lists {
    /// Measures.
    pub fn run(&self, place: &Place) -> Result<Report> {
        let mut report = Report::new("lists: pages of 100");
        let server = Longshore::start(place, "server", &[], None)?;
        let client = server.client()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let few = self.measure(&client, 0, self.few).await?;
            let many = self.measure(&client, self.few, self.many).await?;
            for ((name, few), (_, many)) in few.iter().zip(&many) {
                report.add_sample(&format!("{name}, of {}", self.few), few);
                report.add_sample(&format!("{name}, of {}", self.many), many);
                let times = ms(many.median()) / ms(few.median());
                report.target(&format!("{name}, times slower"), times, GOAL_TIMES, true, "x");
            }
            Ok(report)
        })
    }

    /// Makes definitions up to `to` of them, a tenth as many clusters, and measures.
    async fn measure(
        &self,
        client: &Client,
        from: u32,
        to: u32,
    ) -> Result<Vec<(&'static str, Sample)>> {
        let make = |number: u32| async move {
            ecs(client, "RegisterTaskDefinition", definition(number / REVISIONS)).await?;
            if number.is_multiple_of(REVISIONS) {
                let name = format!("cluster-{number:07}");
                ecs(client, "CreateCluster", json!({"clusterName": name})).await?;
            }
            anyhow::Ok(())
        };
        let made = stream::iter(from..to).map(make).buffer_unordered(MAKERS);
        made.try_collect::<()>().await.context("making definitions")?;
        let mut samples = Vec::new();
        for (name, operation, request) in listings(to) {
            samples.push((name, self.sample(client, operation, &request).await?));
        }
        Ok(samples)
    }

    async fn sample(&self, client: &Client, operation: &str, request: &Value) -> Result<Sample> {
        let mut times: Vec<Duration> = Vec::new();
        for _ in 0..self.pages {
            let begin = Instant::now();
            let answer = ecs(client, operation, request.clone()).await?;
            times.push(begin.elapsed());
            let members = answer.as_object().into_iter().flatten();
            let items = members.filter_map(|(_, value)| value.as_array()).map(Vec::len).max();
            ensure!(items.is_some_and(|items| items > 0), "{operation} gave nothing: {answer}");
        }
        Ok(Sample::new(times))
    }
}

fn listings(count: u32) -> Vec<Listing> {
    // A family far from both ends.
    let family = format!("family-{:07}", count / REVISIONS / 2);
    vec![
        ("ListTaskDefinitions", "ListTaskDefinitions", json!({})),
        ("ListTaskDefinitions DESC", "ListTaskDefinitions", json!({"sort": "DESC"})),
        ("ListTaskDefinitions of a family", "ListTaskDefinitions", json!({"familyPrefix": family})),
        ("ListTaskDefinitionFamilies", "ListTaskDefinitionFamilies", json!({})),
        (
            "ListTaskDefinitionFamilies ACTIVE, by prefix",
            "ListTaskDefinitionFamilies",
            json!({"familyPrefix": &family[..family.len() - 1], "status": "ACTIVE"}),
        ),
        ("ListClusters", "ListClusters", json!({})),
    ]
}

/// One of the smallest there are.
fn definition(family: u32) -> Value {
    json!({
        "family": format!("family-{family:07}"),
        "containerDefinitions": [{"name": "main", "image": "busybox", "memory": 64}],
    })
}
