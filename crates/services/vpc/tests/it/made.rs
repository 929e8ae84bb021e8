//! VPCs, subnets and security groups that are made: what they become, what is refused, and what
//! higher services find.

use vpc::ResolveError;

use super::world::World;

impl World {
    async fn call(&self, operation: &str, parameters: &str) -> (u16, String) {
        self.ask(&format!("Action={operation}&Version=2016-11-15&{parameters}")).await
    }

    /// The answer of a call that succeeds.
    async fn done(&self, operation: &str, parameters: &str) -> String {
        let (status, text) = self.call(operation, parameters).await;
        assert_eq!(status, 200, "{operation} {parameters}: {text}");
        text
    }

    /// Code and text of a call that is refused.
    async fn refused(&self, operation: &str, parameters: &str) -> String {
        let (status, text) = self.call(operation, parameters).await;
        assert!(status >= 400, "{operation} {parameters}: {text}");
        format!("{}: {}", element(&text, "Code"), element(&text, "Message")).replace("&quot;", "\"")
    }

    async fn vpc(&self, cidr: &str) -> String {
        let made = self.done("CreateVpc", &format!("CidrBlock={cidr}")).await;
        element(&made, "vpcId")
    }

    async fn subnet(&self, vpc: &str, cidr: &str, zone: &str) -> String {
        let parameters = format!("VpcId={vpc}&CidrBlock={cidr}&AvailabilityZone={zone}");
        element(&self.done("CreateSubnet", &parameters).await, "subnetId")
    }

    async fn group(&self, vpc: &str, name: &str) -> String {
        let parameters = format!("VpcId={vpc}&GroupName={name}&GroupDescription=for+{name}");
        element(&self.done("CreateSecurityGroup", &parameters).await, "groupId")
    }

    fn found(&self, subnets: &[&str], groups: &[&str]) -> Result<vpc::Network, ResolveError> {
        let owned = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        let snapshot = self.ledger.snapshot();
        self.tables.resolve(&snapshot, &self.scope, &owned(subnets), &owned(groups))
    }
}

/// The text of the first element of this name.
fn element(document: &str, name: &str) -> String {
    let begins = format!("<{name}>");
    let rest = document.split_once(&begins).map(|(_, rest)| rest).unwrap_or_default();
    rest.split_once('<').map(|(text, _)| text.to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn a_vpc_is_made_filled_and_emptied() {
    let world = World::new(0);
    let made = world.done("CreateVpc", "CidrBlock=10.7.1.2%2F16").await;
    assert_eq!(element(&made, "cidrBlock"), "10.7.0.0/16");
    assert_eq!(element(&made, "isDefault"), "false");
    let vpc = element(&made, "vpcId");
    let subnet = world.subnet(&vpc, "10.7.1.0%2F24", "us-east-1b").await;
    let shown = world.done("DescribeSubnets", &format!("SubnetId.1={subnet}")).await;
    assert_eq!(element(&shown, "availabilityZoneId"), "use1-az2");
    assert_eq!(element(&shown, "availableIpAddressCount"), "251");
    let group = world.group(&vpc, "web").await;

    // Services find them, with the default group unless another is named.
    let network = world.found(&[&subnet, &subnet], &[]).unwrap();
    assert_eq!((network.vpc.as_str(), network.subnets.len()), (vpc.as_str(), 1));
    assert_ne!(network.groups, [group.as_str()]);
    let network = world.found(&[&subnet], &[&group, &group]).unwrap();
    assert_eq!(network.groups, [group.as_str()]);
    let interface = world.attach(&network.subnets[0], "a task's").await.unwrap();
    assert!(network.subnets[0].cidr.contains(interface.address));
    assert_eq!(interface.gateway.to_string(), "10.7.1.1");

    let whole = format!("The vpc '{vpc}' has dependencies and cannot be deleted.");
    let refused = world.refused("DeleteVpc", &format!("VpcId={vpc}")).await;
    assert_eq!(refused, format!("DependencyViolation: {whole}"));
    let refused = world.refused("DeleteSubnet", &format!("SubnetId={subnet}")).await;
    assert!(refused.starts_with("DependencyViolation: The subnet"), "{refused}");
    world.release(&interface.id).await;
    world.done("DeleteSubnet", &format!("SubnetId={subnet}")).await;
    world.done("DeleteSecurityGroup", &format!("GroupId={group}")).await;
    world.done("DeleteVpc", &format!("VpcId={vpc}")).await;
    let gone = world.refused("DescribeVpcs", &format!("VpcId.1={vpc}")).await;
    assert_eq!(gone, format!("InvalidVpcID.NotFound: The vpc ID '{vpc}' does not exist"));
    let text = world.found(&[&subnet], &[]).unwrap_err().to_string();
    assert_eq!(text, format!("The subnet ID '{subnet}' does not exist"));
    let groups = world.done("DescribeSecurityGroups", "").await;
    assert_eq!(groups.matches("<groupDescription>").count(), 1, "its default group went along");
}

#[tokio::test]
async fn blocks_must_fit() {
    let world = World::new(0);
    for (cidr, expected) in [
        ("10.0.0.0%2F8", "InvalidVpc.Range: The CIDR '10.0.0.0/8' is invalid."),
        ("10.0.0.0%2F29", "InvalidVpc.Range: The CIDR '10.0.0.0/29' is invalid."),
        (
            "ten",
            "InvalidParameterValue: Value (ten) for parameter cidrBlock is invalid. This is not a \
             valid CIDR block.",
        ),
    ] {
        assert_eq!(world.refused("CreateVpc", &format!("CidrBlock={cidr}")).await, expected);
    }
    let vpc = world.vpc("10.0.0.0%2F16").await;
    world.subnet(&vpc, "10.0.0.0%2F24", "us-east-1a").await;
    for (cidr, expected) in [
        ("10.1.0.0%2F24", "InvalidSubnet.Range: The CIDR '10.1.0.0/24' is invalid."),
        ("10.0.1.0%2F29", "InvalidSubnet.Range: The CIDR '10.0.1.0/29' is invalid."),
        (
            "10.0.0.128%2F25",
            "InvalidSubnet.Conflict: The CIDR '10.0.0.128/25' conflicts with another subnet",
        ),
    ] {
        let parameters = format!("VpcId={vpc}&CidrBlock={cidr}");
        assert_eq!(world.refused("CreateSubnet", &parameters).await, expected);
    }
    let parameters = format!("VpcId={vpc}&CidrBlock=10.0.9.0%2F24&AvailabilityZone=us-east-1z");
    let refused = world.refused("CreateSubnet", &parameters).await;
    assert!(refused.ends_with("us-east-1a, us-east-1b, us-east-1c."), "{refused}");
    let refused = world.refused("CreateVpc", "CidrBlock=10.0.0.0%2F16&InstanceTenancy=dedicated");
    assert!(refused.await.starts_with("NotImplementedException: "));
}

#[tokio::test]
async fn rules_come_once_and_go() {
    let world = World::new(0);
    let vpc = world.vpc("10.0.0.0%2F16").await;
    let web = world.group(&vpc, "web").await;
    let own = format!("GroupId={web}");
    let http = "IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=80&IpPermissions.1.ToPort=80\
                &IpPermissions.1.IpRanges.1.CidrIp=10.1.2.3%2F8\
                &IpPermissions.1.IpRanges.1.Description=inside";
    let made = world.done("AuthorizeSecurityGroupIngress", &format!("{own}&{http}")).await;
    assert_eq!(element(&made, "cidrIpv4"), "10.0.0.0/8");
    let rule = element(&made, "securityGroupRuleId");
    let again = world.refused("AuthorizeSecurityGroupIngress", &format!("{own}&{http}")).await;
    let words = "peer: 10.0.0.0/8, TCP, from port: 80, to port: 80, ALLOW";
    let expected =
        format!("InvalidPermission.Duplicate: the specified rule \"{words}\" already exists");
    assert_eq!(again, expected);
    // The older way, and a group as the peer.
    let plain = format!("{own}&IpProtocol=tcp&FromPort=80&ToPort=80&CidrIp=0.0.0.0%2F0");
    world.done("AuthorizeSecurityGroupIngress", &plain).await;
    let from_group = format!("GroupId={web}&SourceSecurityGroupName=web");
    world.done("AuthorizeSecurityGroupIngress", &from_group).await;
    let shown = world.done("DescribeSecurityGroups", &format!("GroupId.1={web}")).await;
    assert_eq!(shown.matches("<cidrIp>").count(), 3, "two in one permission, and all out: {shown}");
    assert_eq!(shown.matches("<ipProtocol>tcp").count(), 1);
    let by_port = "Filter.1.Name=ip-permission.to-port&Filter.1.Value.1=80";
    let found = world.done("DescribeSecurityGroups", by_port).await;
    assert_eq!(element(&found, "groupId"), web);

    let other = format!("{own}&IpProtocol=tcp&FromPort=81&ToPort=81&CidrIp=0.0.0.0%2F0");
    let refused = world.refused("RevokeSecurityGroupIngress", &other).await;
    let missing = "The specified rule does not exist in this security group.";
    assert_eq!(refused, format!("InvalidPermission.NotFound: {missing}"));
    let by_id = format!("{own}&SecurityGroupRuleId.1={rule}");
    let gone = world.done("RevokeSecurityGroupIngress", &by_id).await;
    assert_eq!(element(&gone, "securityGroupRuleId"), rule);
    world.done("RevokeSecurityGroupIngress", &plain).await;
    let everything = "IpPermissions.1.IpProtocol=-1&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0%2F0";
    world.done("RevokeSecurityGroupEgress", &format!("{own}&{everything}")).await;
    let rules = format!("Filter.1.Name=group-id&Filter.1.Value.1={web}");
    let left = world.done("DescribeSecurityGroupRules", &rules).await;
    assert_eq!(left.matches("<securityGroupRuleId>").count(), 1, "{left}");
}

#[tokio::test]
async fn groups_have_names_of_their_own() {
    let world = World::new(0);
    let vpc = world.vpc("10.0.0.0%2F16").await;
    let web = world.group(&vpc, "web").await;
    let again = format!("VpcId={vpc}&GroupName=web&GroupDescription=x");
    let refused = world.refused("CreateSecurityGroup", &again).await;
    let taken = format!("The security group 'web' already exists for VPC '{vpc}'");
    assert_eq!(refused, format!("InvalidGroup.Duplicate: {taken}"));
    for (name, code) in [
        ("default", "InvalidGroup.Reserved"),
        ("sg-mine", "InvalidParameterValue"),
        ("caf%C3%A9", "InvalidParameterValue"),
    ] {
        let parameters = format!("GroupName={name}&GroupDescription=x");
        let refused = world.refused("CreateSecurityGroup", &parameters).await;
        assert!(refused.starts_with(code), "{refused}");
    }
    // In another group's rules, and with another VPC's subnet.
    let db = world.group(&vpc, "db").await;
    let from_web = format!(
        "GroupId={db}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=5432\
         &IpPermissions.1.ToPort=5432&IpPermissions.1.Groups.1.GroupId={web}"
    );
    world.done("AuthorizeSecurityGroupIngress", &from_web).await;
    let refused = world.refused("DeleteSecurityGroup", &format!("GroupId={web}")).await;
    let dependent = format!("resource {web} has a dependent object");
    assert_eq!(refused, format!("DependencyViolation: {dependent}"));
    let default = world.all_subnets().await[0].id.clone();
    assert_eq!(world.found(&[&default], &[&web]).unwrap().groups, [web.as_str()]);
    let own = world.subnet(&vpc, "10.0.0.0%2F24", "us-east-1a").await;
    let refused = world.found(&[&default, &own], &[]).unwrap_err();
    let text = format!("Subnets {default} and {own} belong to different networks.");
    assert_eq!(refused.to_string(), text);
    let mine =
        world.done("DescribeSecurityGroups", "Filter.1.Name=group-name&Filter.1.Value.1=default");
    assert_eq!(mine.await.matches("<groupDescription>").count(), 2, "each VPC has one");
}

#[tokio::test]
async fn tags_are_on_what_is_made_and_on_what_was_there() {
    let world = World::new(0);
    let tagged = "CidrBlock=10.0.0.0%2F16&TagSpecification.1.ResourceType=vpc\
                  &TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=mine";
    let vpc = element(&world.done("CreateVpc", tagged).await, "vpcId");
    let found = world.done("DescribeVpcs", "Filter.1.Name=tag%3AName&Filter.1.Value.1=mine").await;
    assert_eq!(element(&found, "vpcId"), vpc);
    let default = world.all_subnets().await[0].id.clone();
    let both = format!("ResourceId.1={default}&ResourceId.2={vpc}&Tag.1.Key=env&Tag.1.Value=dev");
    world.done("CreateTags", &both).await;
    let all = world.done("DescribeTags", "Filter.1.Name=key&Filter.1.Value.1=env").await;
    assert_eq!(all.matches("<resourceId>").count(), 2, "{all}");
    assert_eq!(world.all_subnets().await.len(), 3, "a default one that is changed stays one");
    let gone = format!("ResourceId.1={default}&Tag.1.Key=env");
    world.done("DeleteTags", &gone).await;
    let all = world.done("DescribeTags", "").await;
    assert_eq!(all.matches("<resourceId>").count(), 2, "{all}");
    for (parameters, code) in [
        ("ResourceId.1=i-1&Tag.1.Key=a", "InvalidID"),
        ("ResourceId.1=vpc-1&Tag.1.Key=a", "InvalidVpcID.NotFound"),
    ] {
        assert!(world.refused("CreateTags", parameters).await.starts_with(code), "{parameters}");
    }
    let reserved = format!("ResourceId.1={vpc}&Tag.1.Key=aws%3Ax");
    let refused = world.refused("CreateTags", &reserved).await;
    assert!(refused.ends_with("reserved for internal use"), "{refused}");
    let wrong = "CidrBlock=10.0.0.0%2F16&TagSpecification.1.ResourceType=subnet";
    let refused = world.refused("CreateVpc", wrong).await;
    assert!(refused.contains("'subnet' is not a valid taggable resource type"), "{refused}");
}

#[tokio::test]
async fn attributes_are_kept() {
    let world = World::new(0);
    let vpc = world.vpc("10.0.0.0%2F16").await;
    let asked = format!("VpcId={vpc}&Attribute=enableDnsHostnames");
    assert!(world.done("DescribeVpcAttribute", &asked).await.contains("<value>false</value>"));
    let changed = format!("VpcId={vpc}&EnableDnsHostnames.Value=true");
    world.done("ModifyVpcAttribute", &changed).await;
    assert!(world.done("DescribeVpcAttribute", &asked).await.contains("<value>true</value>"));
    let subnet = world.subnet(&vpc, "10.0.0.0%2F24", "us-east-1a").await;
    let changed = format!("SubnetId={subnet}&MapPublicIpOnLaunch.Value=true");
    world.done("ModifySubnetAttribute", &changed).await;
    let shown = world.done("DescribeSubnets", &format!("SubnetId.1={subnet}")).await;
    assert_eq!(element(&shown, "mapPublicIpOnLaunch"), "true");
    let other = format!("SubnetId={subnet}&EnableDns64.Value=true");
    let refused = world.refused("ModifySubnetAttribute", &other).await;
    assert!(refused.starts_with("NotImplementedException"), "{refused}");
}
