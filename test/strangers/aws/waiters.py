"""Runs every waiter that boto3 has for what the lab has: each until what it waits for is there, and those that can fail or
give up, until they do. Prints one line of JSON for each, with how often it looked."""

import json
import sys

import boto3
import botocore.exceptions

ec2 = boto3.client("ec2")
looks = 0


def count(**_):
    global looks
    looks += 1


ec2.meta.events.register("before-call.ec2", count)
done = []


def report(waiter, outcome, before):
    done.append(waiter)
    print(json.dumps({"waiter": waiter, "outcome": outcome, "looks": looks - before}), flush=True)


def wait(waiter, **which):
    before = looks
    ec2.get_waiter(waiter).wait(WaiterConfig={"Delay": 0.2, "MaxAttempts": 300}, **which)
    report(waiter, "there", before)


def wait_in_vain(waiter, reason, **which):
    """Waits for what can't come: the waiter must say so, for the given reason."""
    before = looks
    try:
        ec2.get_waiter(waiter).wait(WaiterConfig={"Delay": 0.05, "MaxAttempts": 3}, **which)
    except botocore.exceptions.WaiterError as e:
        if reason not in str(e):
            raise
        report(waiter, reason, before)
        return
    sys.exit(f"{waiter} found what isn't there: {which}")


FAILED, GAVE_UP = "terminal failure state", "Max attempts exceeded"
NONE = "00000000000000000"

# What the lab has none of, so that there is nothing to wait for.
NOT_HERE = {
    "bundle_task_complete": "no instance-store images",
    "conversion_task_cancelled": "no import of machines",
    "conversion_task_completed": "no import of machines",
    "conversion_task_deleted": "no import of machines",
    "customer_gateway_available": "no VPN",
    "export_task_cancelled": "no export of machines",
    "export_task_completed": "no export of machines",
    "image_usage_report_available": "no reports of images",
    "password_data_available": "no Windows",
    "secondary_network_create_complete": "no secondary networks",
    "secondary_network_delete_complete": "no secondary networks",
    "secondary_subnet_create_complete": "no secondary networks",
    "secondary_subnet_delete_complete": "no secondary networks",
    "security_group_vpc_association_associated": "no groups in several VPCs",
    "snapshot_completed": "no snapshots",
    "snapshot_imported": "no snapshots",
    "spot_instance_request_fulfilled": "no spot instances",
    "store_image_task_complete": "no images of one's own",
    "vpn_connection_available": "no VPN",
    "vpn_connection_deleted": "no VPN",
    "vpc_peering_connection_exists": "no peering",
}

vpc = ec2.create_vpc(CidrBlock="10.60.0.0/16")["Vpc"]["VpcId"]
wait("vpc_exists", VpcIds=[vpc])
wait("vpc_available", VpcIds=[vpc])
wait_in_vain("vpc_exists", GAVE_UP, VpcIds=["vpc-" + NONE])

subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.60.0.0/24")["Subnet"]["SubnetId"]
wait("subnet_available", SubnetIds=[subnet])

gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
wait("internet_gateway_exists", InternetGatewayIds=[gateway])

group = ec2.create_security_group(VpcId=vpc, GroupName="waiters", Description="waiters")["GroupId"]
wait("security_group_exists", GroupIds=[group])
wait_in_vain("security_group_exists", GAVE_UP, GroupIds=["sg-" + NONE])
wait("security_group_vpc_association_disassociated", Filters=[{"Name": "group-id", "Values": [group]}])

ec2.create_key_pair(KeyName="waiters")
wait("key_pair_exists", KeyNames=["waiters"])
wait_in_vain("key_pair_exists", GAVE_UP, KeyNames=["nobody"])

image = ec2.describe_images(
    Owners=["099720109477"],
    Filters=[{"Name": "name", "Values": ["ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*"]}],
)["Images"][0]["ImageId"]
wait("image_exists", ImageIds=[image])
wait("image_available", ImageIds=[image])
wait_in_vain("image_exists", GAVE_UP, ImageIds=["ami-" + NONE])

instance = ec2.run_instances(
    ImageId=image, InstanceType="t3.small", MinCount=1, MaxCount=1, SubnetId=subnet, SecurityGroupIds=[group]
)["Instances"][0]["InstanceId"]
wait("instance_exists", InstanceIds=[instance])
wait("instance_running", InstanceIds=[instance])
wait("instance_status_ok", InstanceIds=[instance])
wait("system_status_ok", InstanceIds=[instance])
wait_in_vain("instance_exists", GAVE_UP, InstanceIds=["i-" + NONE])

interface = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
wait("network_interface_available", NetworkInterfaceIds=[interface])
attachment = ec2.attach_network_interface(NetworkInterfaceId=interface, InstanceId=instance, DeviceIndex=1)["AttachmentId"]
ec2.detach_network_interface(AttachmentId=attachment)
wait("network_interface_available", NetworkInterfaceIds=[interface])
ec2.delete_network_interface(NetworkInterfaceId=interface)
wait_in_vain("network_interface_available", FAILED, NetworkInterfaceIds=[interface])

zone = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["AvailabilityZone"]
volume = ec2.create_volume(AvailabilityZone=zone, Size=8)["VolumeId"]
wait("volume_available", VolumeIds=[volume])
ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/sdf")
wait("volume_in_use", VolumeIds=[volume])
wait_in_vain("volume_available", GAVE_UP, VolumeIds=[volume])
ec2.detach_volume(VolumeId=volume)
wait("volume_available", VolumeIds=[volume])
ec2.delete_volume(VolumeId=volume)
wait("volume_deleted", VolumeIds=[volume])

ec2.stop_instances(InstanceIds=[instance])
wait("instance_stopped", InstanceIds=[instance])
ec2.start_instances(InstanceIds=[instance])
wait_in_vain("instance_stopped", FAILED, InstanceIds=[instance])
wait("instance_running", InstanceIds=[instance])
ec2.terminate_instances(InstanceIds=[instance])
wait("instance_terminated", InstanceIds=[instance])
wait_in_vain("instance_running", FAILED, InstanceIds=[instance])

wait_in_vain("nat_gateway_available", GAVE_UP, NatGatewayIds=["nat-" + NONE])
wait("nat_gateway_deleted", NatGatewayIds=["nat-" + NONE])
wait("vpc_peering_connection_deleted", VpcPeeringConnectionIds=["pcx-" + NONE])

for waiter in sorted(set(ec2.waiter_names) - set(done)):
    print(json.dumps({"waiter": waiter, "outcome": "not here: " + NOT_HERE.get(waiter, "newer than this test"), "looks": 0}))
