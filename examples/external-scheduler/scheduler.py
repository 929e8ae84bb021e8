#!/usr/bin/env python3
"""A scheduler of your own over the ECS API: EXTERNAL deployments with task sets, and tasks placed by
a rule of its own with StartTask.

    scheduler.py roll  --service shop --task-definition web:2 --desired 4
    scheduler.py place --task-definition cache --label rack --per-label 1

`roll` moves an EXTERNAL service to a task definition in steps: a new task set beside the old one,
more of the new and less of the old, the new one primary, the old one deleted. A new set that does
not become steady is deleted and the old one gets its share back.

`place` keeps so many tasks of a definition on instances of each value of an attribute, each on the
instance that has most free memory. What is missing it starts; what is too much it stops.

It knows nothing of Longshore: only boto3 and its environment (AWS_ENDPOINT_URL, AWS_PROFILE or keys,
AWS_DEFAULT_REGION). It would do the same on Amazon ECS.
"""

import argparse
import collections
import sys
import time

import boto3

STARTED_BY = "external-scheduler"
DONE = {"STOPPED", "DEPROVISIONING", "STOPPING", "DEACTIVATING"}


class Failed(Exception):
    """What was asked for did not come about."""


class Roll:
    """One service on its way to a task definition."""

    def __init__(self, ecs, args):
        self.ecs = ecs
        self.cluster, self.service = args.cluster, args.service
        self.definition, self.desired = args.task_definition, args.desired
        self.steps, self.timeout_s = args.steps, args.timeout_s

    def run(self):
        """Moves the service, or takes back what it did and fails."""
        self.make_service()
        old = self.task_sets()
        new = self.ecs.create_task_set(
            cluster=self.cluster, service=self.service, taskDefinition=self.definition,
            externalId=f"roll-{len(old) + 1}", scale={"unit": "PERCENT", "value": 0.0},
        )["taskSet"]
        print(f"{new['id']} brings {new['taskDefinition']}")
        try:
            for percent in self.steps:
                self.scale(new, percent)
                self.wait(new)
                for one in old:
                    self.scale(one, 100.0 - percent)
        except Failed:
            for one in old:
                self.scale(one, 100.0)
            self.delete(new)
            raise
        self.ecs.update_service_primary_task_set(
            cluster=self.cluster, service=self.service, primaryTaskSet=new["id"])
        for one in old:
            self.delete(one)
        self.wait_until(lambda: len(self.task_sets()) == 1, "the old task sets are still there")
        print(f"{self.service} runs {new['taskDefinition']}")

    def make_service(self):
        """Makes the service if it is not there, and gives it its desired count."""
        found = self.ecs.describe_services(cluster=self.cluster, services=[self.service])
        active = [one for one in found["services"] if one["status"] == "ACTIVE"]
        if not active:
            self.ecs.create_service(
                cluster=self.cluster, serviceName=self.service, desiredCount=self.desired,
                deploymentController={"type": "EXTERNAL"})
        elif active[0]["desiredCount"] != self.desired:
            self.ecs.update_service(
                cluster=self.cluster, service=self.service, desiredCount=self.desired)

    def task_sets(self):
        return self.ecs.describe_task_sets(cluster=self.cluster, service=self.service)["taskSets"]

    def scale(self, task_set, percent):
        print(f"{task_set['id']} {percent:g} %")
        self.ecs.update_task_set(
            cluster=self.cluster, service=self.service, taskSet=task_set["id"],
            scale={"unit": "PERCENT", "value": float(percent)})

    def delete(self, task_set):
        self.ecs.delete_task_set(
            cluster=self.cluster, service=self.service, taskSet=task_set["id"], force=True)

    def wait(self, task_set):
        """Waits until a task set is steady."""
        def steady():
            found = self.ecs.describe_task_sets(
                cluster=self.cluster, service=self.service, taskSets=[task_set["id"]])["taskSets"]
            return bool(found) and found[0]["stabilityStatus"] == "STEADY_STATE"
        self.wait_until(steady, f"{task_set['id']} does not become steady")

    def wait_until(self, is_so, what):
        deadline = time.monotonic() + self.timeout_s
        while not is_so():
            if time.monotonic() > deadline:
                raise Failed(what)
            time.sleep(0.2)


class Place:
    """So many tasks of a definition for each value of an attribute."""

    def __init__(self, ecs, args):
        self.ecs = ecs
        self.cluster, self.definition = args.cluster, args.task_definition
        self.label, self.wanted = args.label, args.per_label

    def run(self):
        """Starts what is missing and stops what is too much; once."""
        instances, tasks = self.instances(), self.tasks()
        on = collections.defaultdict(list)
        for task in tasks:
            on[task["containerInstanceArn"]].append(task["taskArn"])
        labels = collections.defaultdict(list)
        for one in instances:
            labels[self.value(one)].append(one)
        for label, members in sorted(labels.items()):
            here = [(one, arn) for one in members for arn in on[one["containerInstanceArn"]]]
            for _ in range(self.wanted - len(here)):
                self.start(label, members)
            for one, arn in here[self.wanted:]:
                self.ecs.stop_task(cluster=self.cluster, task=arn, reason="more than wanted here")
                print(f"{label}: stopped {arn.rsplit('/', 1)[1]}")

    def start(self, label, members):
        """Starts a task on the member with most free memory that takes it."""
        for one in sorted(members, key=self.free_memory, reverse=True):
            started = self.ecs.start_task(
                cluster=self.cluster, taskDefinition=self.definition, startedBy=STARTED_BY,
                containerInstances=[one["containerInstanceArn"]])
            if started["tasks"]:
                task = started["tasks"][0]["taskArn"].rsplit("/", 1)[1]
                print(f"{label}: started {task}")
                return
        raise Failed(f"no instance of {self.label} {label} takes a task of {self.definition}")

    def instances(self):
        filters = f"attribute:{self.label} exists"
        arns = self.ecs.list_container_instances(
            cluster=self.cluster, status="ACTIVE", filter=filters)["containerInstanceArns"]
        if not arns:
            raise Failed(f"no instance has the attribute {self.label}")
        found = self.ecs.describe_container_instances(
            cluster=self.cluster, containerInstances=arns)["containerInstances"]
        return [one for one in found if one["agentConnected"]]

    def tasks(self):
        arns = self.ecs.list_tasks(cluster=self.cluster, startedBy=STARTED_BY)["taskArns"]
        if not arns:
            return []
        tasks = self.ecs.describe_tasks(cluster=self.cluster, tasks=arns)["tasks"]
        family = self.definition.split("/")[-1].split(":")[0]
        mine = f":task-definition/{family}:"
        return [one for one in tasks
                if one["lastStatus"] not in DONE and mine in one["taskDefinitionArn"]]

    def value(self, instance):
        return next(one.get("value", "") for one in instance["attributes"]
                    if one["name"] == self.label)

    @staticmethod
    def free_memory(instance):
        return next(one["integerValue"] for one in instance["remainingResources"]
                    if one["name"] == "MEMORY")


def read_arguments():
    parser = argparse.ArgumentParser(description="A scheduler of your own over the ECS API.")
    parser.add_argument("--cluster", default="default")
    commands = parser.add_subparsers(dest="command", required=True)
    roll = commands.add_parser("roll", help="move an EXTERNAL service to a task definition")
    roll.add_argument("--service", required=True)
    roll.add_argument("--task-definition", required=True)
    roll.add_argument("--desired", type=int, required=True)
    roll.add_argument("--steps", type=float, nargs="+", default=[25.0, 50.0, 100.0])
    roll.add_argument("--timeout-s", type=float, default=120.0)
    place = commands.add_parser("place", help="keep tasks on instances of each label")
    place.add_argument("--task-definition", required=True)
    place.add_argument("--label", required=True, help="an attribute of instances, such as rack")
    place.add_argument("--per-label", type=int, default=1)
    return parser.parse_args()


def main():
    args = read_arguments()
    ecs = boto3.client("ecs")
    try:
        (Roll if args.command == "roll" else Place)(ecs, args).run()
    except Failed as failed:
        sys.exit(f"scheduler: {failed}")


if __name__ == "__main__":
    main()
