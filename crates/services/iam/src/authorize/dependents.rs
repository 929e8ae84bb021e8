//! What calls need besides their own action, by what their input names.

use serde_json::Value;
use wire::Context;

use super::table::members;

/// Where a rule's targets name what they start.
pub(super) const STARTED_BY_RULES: &str = "Targets.EcsParameters.TaskDefinitionArn";

/// Parameters that are secrets by another name.
const REFERENCE: &str = "aws/reference/secretsmanager/";

/// Further actions, each with its resource.
pub(super) fn others(context: &Context, input: &Value) -> Vec<(&'static str, String)> {
    match (context.service, context.operation) {
        // Whether each secret of a batch may be read, their service asks: it refuses one by one.
        ("secretsmanager", "BatchGetSecretValue") if members(input, "SecretIdList").is_empty() => {
            vec![("secretsmanager:ListSecrets", "*".to_owned())]
        }
        ("ssm", "GetParameter" | "GetParameters" | "GetParameterHistory") => {
            let names = members(input, "Name").into_iter().chain(members(input, "Names"));
            let read = |name: String| {
                let (_, id) = name.split_once(REFERENCE)?;
                Some((READ, secret(context, id)))
            };
            names.filter_map(read).collect()
        }
        // What the secret says is sent to whatever registry the rule names.
        ("ecr", "CreatePullThroughCacheRule" | "UpdatePullThroughCacheRule") => {
            members(input, "credentialArn").into_iter().map(|arn| (READ, arn)).collect()
        }
        ("ec2", _) if input.get("TagSpecifications").is_some() => {
            vec![("ec2:CreateTags", "*".to_owned())]
        }
        ("events", "PutTargets") => members(input, STARTED_BY_RULES)
            .into_iter()
            .map(|definition| ("ecs:RunTask", definition))
            .collect(),
        _ => Vec::new(),
    }
}

const READ: &str = "secretsmanager:GetSecretValue";

fn secret(context: &Context, id: &str) -> String {
    let caller = &context.caller;
    if id.starts_with("arn:") {
        return id.to_owned();
    }
    format!("arn:aws:secretsmanager:{}:{}:secret:{id}", caller.region, caller.account)
}
