// Uses @aws-sdk/client-ec2 as a program in JavaScript would: makes twelve of each thing, lists them in pages, waits with the
// client's waiters, and asks every paginator that it has. The argument is the folder that has node_modules. Prints one line
// of JSON for each paginator and waiter.
import { createRequire } from 'node:module';
import assert from 'node:assert/strict';

const sdk = createRequire(`${process.argv[2]}/`)('@aws-sdk/client-ec2');
const client = new sdk.EC2Client({ maxAttempts: 1 });
const call = (name, input = {}) => client.send(new sdk[`${name}Command`](input));
const report = (kind, name, outcome) => console.log(JSON.stringify({ kind, name, outcome }));
const many = [...Array(12).keys()];
const none = '00000000000000000';

async function wait(name, input) {
  const { state } = await sdk[`waitUntil${name}`]({ client, maxWaitTime: 60, minDelay: 0.1, maxDelay: 0.3 }, input);
  assert.equal(state, 'SUCCESS');
  report('waiter', name, 'there');
}

// waitInVain waits for what can't come: the waiter must say so.
async function waitInVain(name, input, state) {
  await assert.rejects(sdk[`waitUntil${name}`]({ client, maxWaitTime: 1, minDelay: 0.1, maxDelay: 0.3 }, input),
    (e) => e.message.includes(state));
  report('waiter', name, state);
}

// pages lists with a paginator, five at a time, and returns one field of all items and the number of pages.
async function pages(name, items, field, input = {}) {
  const found = [];
  let n = 0;
  for await (const page of sdk[`paginate${name}`]({ client, pageSize: 5 }, { ...input })) { // it writes into its input
    found.push(...page[items].map((item) => item[field]));
    n++;
  }
  return { found, n };
}

// inPages holds that a list in pages is the list at once.
async function inPages(name, items, field, want, input = {}) {
  const { found, n } = await pages(name, items, field, input);
  assert.deepEqual(found.toSorted(), want.toSorted(), `${name}: in pages`);
  const whole = await call(name, input);
  assert.deepEqual(whole[items].map((item) => item[field]).toSorted(), want.toSorted(), `${name}: at once`);
  assert.equal(n, Math.ceil(want.length / 5), `${name}: pages`);
  report('list', name, `${want.length} in ${n} pages`);
}

// Twelve of each.
const { Vpc: { VpcId } } = await call('CreateVpc', { CidrBlock: '10.70.0.0/16' });
await wait('VpcExists', { VpcIds: [VpcId] });
await wait('VpcAvailable', { VpcIds: [VpcId] });
await waitInVain('VpcExists', { VpcIds: [`vpc-${none}`] }, 'TIMEOUT');
const here = { Filters: [{ Name: 'vpc-id', Values: [VpcId] }] };

const each = (make) => Promise.all(many.map(make));
const subnets = await each(async (i) => (await call('CreateSubnet',
  { VpcId, CidrBlock: `10.70.${i}.0/24`, AvailabilityZone: 'us-east-1a' })).Subnet.SubnetId);
await wait('SubnetAvailable', { SubnetIds: subnets });
await inPages('DescribeSubnets', 'Subnets', 'SubnetId', subnets, here);

const groups = await each(async (i) => (await call('CreateSecurityGroup',
  { VpcId, GroupName: `group-${i}`, Description: 'of twelve' })).GroupId);
await wait('SecurityGroupExists', { GroupIds: groups });
const { SecurityGroups: [standard] } = await call('DescribeSecurityGroups',
  { Filters: [...here.Filters, { Name: 'group-name', Values: ['default'] }] });
await inPages('DescribeSecurityGroups', 'SecurityGroups', 'GroupId', [...groups, standard.GroupId], here);
await inPages('GetSecurityGroupsForVpc', 'SecurityGroupForVpcs', 'GroupId', [...groups, standard.GroupId], { VpcId });

const rules = await each(async (i) => (await call('AuthorizeSecurityGroupIngress',
  { GroupId: groups[0], IpPermissions: [{ IpProtocol: 'tcp', FromPort: 1000 + i, ToPort: 1000 + i, IpRanges: [{ CidrIp: '10.0.0.0/8' }] }] }))
  .SecurityGroupRules[0].SecurityGroupRuleId);
const ofGroup = { Filters: [{ Name: 'group-id', Values: [groups[0]] }] };
const { SecurityGroupRules: all } = await call('DescribeSecurityGroupRules', ofGroup);
const outward = all.filter((rule) => rule.IsEgress).map((rule) => rule.SecurityGroupRuleId);
await inPages('DescribeSecurityGroupRules', 'SecurityGroupRules', 'SecurityGroupRuleId', [...rules, ...outward], ofGroup);

const tables = await each(async () => (await call('CreateRouteTable', { VpcId })).RouteTable.RouteTableId);
const { RouteTables: [main] } = await call('DescribeRouteTables', { Filters: [...here.Filters, { Name: 'association.main', Values: ['true'] }] });
await inPages('DescribeRouteTables', 'RouteTables', 'RouteTableId', [...tables, main.RouteTableId], here);

const interfaces = await each(async (i) => (await call('CreateNetworkInterface', { SubnetId: subnets[i] })).NetworkInterface.NetworkInterfaceId);
await wait('NetworkInterfaceAvailable', { NetworkInterfaceIds: interfaces });
await inPages('DescribeNetworkInterfaces', 'NetworkInterfaces', 'NetworkInterfaceId', interfaces, here);

const volumes = await each(async () => (await call('CreateVolume', { AvailabilityZone: 'us-east-1a', Size: 8 })).VolumeId);
await wait('VolumeAvailable', { VolumeIds: volumes });
await inPages('DescribeVolumes', 'Volumes', 'VolumeId', volumes);
await inPages('DescribeVolumeStatus', 'VolumeStatuses', 'VolumeId', volumes);

await each((i) => call('CreateTags', { Resources: [subnets[i]], Tags: [{ Key: 'Name', Value: `n${i}` }] }));
await inPages('DescribeTags', 'Tags', 'ResourceId', subnets, { Filters: [{ Name: 'key', Values: ['Name'] }] });

const { InternetGateway: { InternetGatewayId } } = await call('CreateInternetGateway');
await wait('InternetGatewayExists', { InternetGatewayIds: [InternetGatewayId] });
await call('CreateKeyPair', { KeyName: 'client' });
await wait('KeyPairExists', { KeyNames: ['client'] });
await waitInVain('KeyPairExists', { KeyNames: ['nobody'] }, 'TIMEOUT');

// Machines.
const { Images: [{ ImageId }] } = await call('DescribeImages', {
  Owners: ['099720109477'], Filters: [{ Name: 'name', Values: ['ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*'] }],
});
await wait('ImageExists', { ImageIds: [ImageId] });
await wait('ImageAvailable', { ImageIds: [ImageId] });
const { Instances } = await call('RunInstances', {
  ImageId, InstanceType: 't3.micro', MinCount: 12, MaxCount: 12, SubnetId: subnets[0], UserData: Buffer.from('#!/bin/sh\n').toString('base64'),
});
const InstanceIds = Instances.map((instance) => instance.InstanceId);
await wait('InstanceExists', { InstanceIds });
await wait('InstanceRunning', { InstanceIds });
await wait('InstanceStatusOk', { InstanceIds });
await wait('SystemStatusOk', { InstanceIds });
await inPages('DescribeInstanceStatus', 'InstanceStatuses', 'InstanceId', InstanceIds);
await call('AttachVolume', { VolumeId: volumes[0], InstanceId: InstanceIds[0], Device: '/dev/sdf' });
await wait('VolumeInUse', { VolumeIds: [volumes[0]] });
await call('DetachVolume', { VolumeId: volumes[0] });
await wait('VolumeAvailable', { VolumeIds: volumes });
await each((i) => call('DeleteVolume', { VolumeId: volumes[i] }));
await wait('VolumeDeleted', { VolumeIds: volumes });
await assert.rejects(call('DescribeVolumes', { VolumeIds: volumes }), { name: 'InvalidVolume.NotFound' });

// Every paginator that the client has. What the lab doesn't have it must say so, in EC2's own words.
const needs = { paginateGetSecurityGroupsForVpc: { VpcId }, paginateDescribeStaleSecurityGroups: { VpcId } };
for (const name of Object.keys(sdk).filter((key) => key.startsWith('paginate'))) {
  try {
    for await (const page of sdk[name]({ client, pageSize: 100 }, needs[name] ?? {})) assert.ok(page.$metadata);
    report('paginator', name, 'answered');
  } catch (e) {
    // InvalidAction: the client is newer than the lab's list of what EC2 can do.
    if (e.name !== 'UnsupportedOperation' && e.name !== 'InvalidAction') throw new Error(`${name}: ${e.name}: ${e.message}`, { cause: e });
    report('paginator', name, 'not here');
  }
}

await call('StopInstances', { InstanceIds: [InstanceIds[0]] });
await wait('InstanceStopped', { InstanceIds: [InstanceIds[0]] });
await call('TerminateInstances', { InstanceIds });
await wait('InstanceTerminated', { InstanceIds });
await waitInVain('InstanceRunning', { InstanceIds }, 'FAILURE');
await wait('NatGatewayDeleted', { NatGatewayIds: [`nat-${none}`] });
await wait('VpcPeeringConnectionDeleted', { VpcPeeringConnectionIds: [`pcx-${none}`] });
await wait('SecurityGroupVpcAssociationDisassociated', ofGroup);
await assert.rejects(call('DeleteVpc', { VpcId }), { name: 'DependencyViolation' });
