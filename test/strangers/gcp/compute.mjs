// Lets Google's client for JavaScript make, list, change and delete in the lab's Compute Engine, over REST. It stops at the
// first thing that isn't as it should be, and prints how many calls it made.
//
// Environment: LAB_HOST and LAB_PORT, LAB_KEY (the service account's key file), LAB_PACKAGES (a folder with node_modules).

import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {createRequire} from 'node:module';

const {LAB_HOST: host, LAB_PORT: port, LAB_KEY: keyFile, LAB_PACKAGES: packages} = process.env;
const require = createRequire(`${packages}/`);
const compute = require('@google-cloud/compute');
const {GoogleAuth, JWT} = require('google-auth-library');

const project = 'skyweld-lab', region = 'us-east4', zone = 'us-east4-b';
const key = JSON.parse(readFileSync(keyFile, 'utf8'));

// The library knows the token endpoint by heart; the transport leads what goes there to the one that the key names.
const authClient = new JWT({email: key.client_email, key: key.private_key, keyId: key.private_key_id, scopes: ['https://www.googleapis.com/auth/compute']});
let tokens = 0;
authClient.transporter.interceptors.request.add({
  resolved: async config => {
    if (new URL(config.url).host === 'oauth2.googleapis.com') {
      config.url = new URL(key.token_uri);
      tokens++;
    }
    return config;
  },
});
const auth = new GoogleAuth({authClient});
const options = {auth, apiEndpoint: host, port: Number(port), projectId: project};

const networks = new compute.NetworksClient(options);
const subnetworks = new compute.SubnetworksClient(options);
const firewalls = new compute.FirewallsClient(options);
const routes = new compute.RoutesClient(options);
const addresses = new compute.AddressesClient(options);
const disks = new compute.DisksClient(options);
const instances = new compute.InstancesClient(options);
const zones = new compute.ZonesClient(options);
const images = new compute.ImagesClient(options);
const machineTypes = new compute.MachineTypesClient(options);
const projects = new compute.ProjectsClient(options);
const waiters = {
  global: new compute.GlobalOperationsClient(options), region: new compute.RegionOperationsClient(options), zone: new compute.ZoneOperationsClient(options),
};

// finish waits for a call's operation and returns it.
async function finish(call) {
  const [long] = await call;
  let operation = long.latestResponse;
  while (operation.status !== 'DONE') {
    const place = operation.zone ? 'zone' : operation.region ? 'region' : 'global';
    const where = place === 'global' ? {} : {[place]: operation[place].split('/').pop()};
    [operation] = await waiters[place].wait({project, operation: operation.name, ...where});
  }
  return operation;
}

// done waits for an operation that must succeed.
async function done(call) {
  const operation = await finish(call);
  assert.equal(operation.error ?? null, null, `${operation.operationType} of ${operation.targetLink}: ${JSON.stringify(operation.error)}`);
  return operation;
}

// refused holds that a call fails with an HTTP status and reason ("404 notFound") and a message. The client's errors have
// the answer's body as their message.
async function refused(want, message, call) {
  await assert.rejects(call, error => {
    const {error: {code, errors: [first]}} = JSON.parse(error.message);
    assert.equal(`${error.code} ${first.reason}`, want);
    assert.equal(code, error.code);
    assert.match(first.message, message);
    return true;
  });
}

const missing = '404 notFound', exists = '409 alreadyExists', invalid = '400 invalid', outdated = '412 conditionNotMet', inUse = '400 resourceInUseByAnotherResource';
const names = list => list.map(item => item.name);

async function collect(iterable) {
  const out = [];
  for await (const item of iterable) out.push(item);
  return out;
}

async function catalogue() {
  const [owner] = await projects.get({project});
  assert.equal(owner.name, project);
  assert.ok(owner.quotas.some(q => q.metric === 'NETWORKS' && q.limit > 0 && q.usage === 1));
  const found = await collect(zones.listAsync({project, filter: `name eq ${region}-.*`, maxResults: 2}));
  assert.deepEqual(names(found), ['us-east4-a', 'us-east4-b', 'us-east4-c']);
  const [type] = await machineTypes.get({project, zone, machineType: 'e2-medium'});
  assert.deepEqual([type.guestCpus, type.memoryMb, type.isSharedCpu], [2, 4096, true]);
  const [image] = await images.getFromFamily({project: 'debian-cloud', family: 'debian-12'});
  assert.equal(image.status, 'READY');
  await refused(missing, /images\/family\/none' was not found/, images.getFromFamily({project: 'debian-cloud', family: 'none'}));
}

async function make() {
  await done(networks.insert({project, networkResource: {name: 'sky', autoCreateSubnetworks: false, mtu: 1460, routingConfig: {routingMode: 'REGIONAL'}}}));
  await refused(exists, /global\/networks\/sky' already exists/, networks.insert({project, networkResource: {name: 'sky', autoCreateSubnetworks: false}}));
  await refused(invalid, /Invalid value for field 'resource.name': 'Sky'/, networks.insert({project, networkResource: {name: 'Sky', autoCreateSubnetworks: false}}));
  const network = `projects/${project}/global/networks/sky`;
  await done(subnetworks.insert({project, region, subnetworkResource: {name: 'sky', network, ipCidrRange: '10.64.0.0/20', secondaryIpRanges: [{rangeName: 'pods', ipCidrRange: '10.200.0.0/20'}]}}));
  await done(firewalls.insert({project, firewallResource: {name: 'ssh', network, sourceRanges: ['203.0.113.7/32'], targetTags: ['node'], allowed: [{IPProtocol: 'tcp', ports: ['22']}]}}));
  await done(routes.insert({project, routeResource: {name: 'out', network, destRange: '198.51.100.0/24', priority: 500, nextHopGateway: `projects/${project}/global/gateways/default-internet-gateway`}}));
  for (const name of ['a1', 'a2', 'cp']) {
    await done(addresses.insert({project, region, addressResource: {name, labels: {n: name}}}));
  }
  await done(disks.insert({project, zone, diskResource: {name: 'data', sizeGb: '20', type: `zones/${zone}/diskTypes/pd-ssd`}}));
  const [address] = await addresses.get({project, region, address: 'cp'});
  for (const [name, natIP] of [['cp-1', address.address], ['w-1', undefined], ['w-2', undefined]]) {
    await done(instances.insert({project, zone, instanceResource: {
      name, machineType: `zones/${zone}/machineTypes/e2-medium`, canIpForward: true, tags: {items: ['node']}, labels: {role: name.split('-')[0]},
      metadata: {items: [{key: 'user-data', value: '#cloud-config\n'}]},
      disks: [{boot: true, autoDelete: true, initializeParams: {sourceImage: 'projects/debian-cloud/global/images/family/debian-12', diskSizeGb: '20'}}],
      networkInterfaces: [{subnetwork: `regions/${region}/subnetworks/sky`, accessConfigs: natIP ? [{name: 'External NAT', type: 'ONE_TO_ONE_NAT', natIP}] : []}],
    }}));
  }
  await refused(invalid, /Machine type with name 'e2-none' does not exist/, instances.insert({project, zone, instanceResource: {
    name: 'bad', machineType: `zones/${zone}/machineTypes/e2-none`, networkInterfaces: [{subnetwork: `regions/${region}/subnetworks/sky`}],
    disks: [{boot: true, initializeParams: {sourceImage: 'projects/debian-cloud/global/images/family/debian-12'}}],
  }}));
}

async function list() {
  assert.deepEqual(names(await collect(addresses.listAsync({project, region, maxResults: 1}))), ['a1', 'a2', 'cp']);
  const [page, next] = await addresses.list({project, region, maxResults: 2}, {autoPaginate: false});
  assert.deepEqual(names(page), ['a1', 'a2']);
  assert.ok(next.pageToken);
  assert.deepEqual(names((await instances.list({project, zone, filter: 'labels.role=w', orderBy: 'name desc'}))[0]), ['w-2', 'w-1']);
  const scopes = new Map(await collect(instances.aggregatedListAsync({project, maxResults: 2})));
  assert.deepEqual(names(scopes.get(`zones/${zone}`).instances), ['w-2']); // of two pages the scope's last
  assert.equal(scopes.get('zones/us-east4-a').warning.code, 'NO_RESULTS_ON_PAGE');
  const all = new Map(await collect(subnetworks.aggregatedListAsync({project, filter: 'name=sky'})));
  assert.deepEqual(names(all.get(`regions/${region}`).subnetworks), ['sky']);
  assert.deepEqual((await collect(routes.listAsync({project, filter: 'name=out'}))).map(r => [r.destRange, r.priority]), [['198.51.100.0/24', 500]]);
  const [machine] = await instances.get({project, zone, instance: 'cp-1'});
  assert.deepEqual([machine.status, machine.canIpForward, machine.networkInterfaces[0].networkIP, machine.scheduling.automaticRestart], ['RUNNING', true, '10.64.0.2', true]);
  await refused(missing, /instances\/none' was not found/, instances.get({project, zone, instance: 'none'}));
  await refused(invalid, /Invalid value for field 'filter'/, instances.list({project, zone, filter: '(((='}));
  const operations = await collect(waiters.zone.listAsync({project, zone, filter: 'operationType=insert'}));
  assert.equal(operations.filter(o => o.status === 'DONE').length, 4);
}

async function change() {
  await done(networks.patch({project, network: 'sky', networkResource: {routingConfig: {routingMode: 'GLOBAL'}}}));
  assert.equal((await networks.get({project, network: 'sky'}))[0].routingConfig.routingMode, 'GLOBAL');
  const [subnet] = await subnetworks.get({project, region, subnetwork: 'sky'});
  await done(subnetworks.patch({project, region, subnetwork: 'sky', subnetworkResource: {
    fingerprint: subnet.fingerprint, secondaryIpRanges: [...subnet.secondaryIpRanges, {rangeName: 'more', ipCidrRange: '10.201.0.0/20'}],
  }}));
  await refused(outdated, /fingerprint/i, subnetworks.patch({project, region, subnetwork: 'sky', subnetworkResource: {fingerprint: subnet.fingerprint, secondaryIpRanges: []}}));
  await done(firewalls.patch({project, firewall: 'ssh', firewallResource: {name: 'ssh', sourceRanges: ['198.51.100.0/24'], priority: 800}}));
  const [rule] = await firewalls.get({project, firewall: 'ssh'});
  assert.deepEqual([rule.sourceRanges, rule.priority, rule.allowed[0].ports], [['198.51.100.0/24'], 800, ['22']]);

  let [machine] = await instances.get({project, zone, instance: 'w-1'});
  await done(instances.setLabels({project, zone, instance: 'w-1', instancesSetLabelsRequestResource: {labels: {role: 'w', team: 'data'}, labelFingerprint: machine.labelFingerprint}}));
  await refused(outdated, /Labels fingerprint either invalid or resource labels have changed/,
    instances.setLabels({project, zone, instance: 'w-1', instancesSetLabelsRequestResource: {labels: {}, labelFingerprint: machine.labelFingerprint}}));
  await done(instances.setTags({project, zone, instance: 'w-1', tagsResource: {items: ['node', 'web'], fingerprint: machine.tags.fingerprint}}));
  await refused(outdated, /fingerprint/, instances.setTags({project, zone, instance: 'w-1', tagsResource: {items: [], fingerprint: machine.tags.fingerprint}}));
  await done(instances.setMetadata({project, zone, instance: 'w-1', metadataResource: {items: [{key: 'k', value: 'v'}], fingerprint: machine.metadata.fingerprint}}));
  await refused(outdated, /fingerprint/, instances.setMetadata({project, zone, instance: 'w-1', metadataResource: {items: [], fingerprint: machine.metadata.fingerprint}}));
  await done(instances.attachDisk({project, zone, instance: 'w-1', attachedDiskResource: {source: `zones/${zone}/disks/data`, deviceName: 'data'}}));
  await done(instances.addAccessConfig({project, zone, instance: 'w-1', networkInterface: 'nic0', accessConfigResource: {name: 'nat', type: 'ONE_TO_ONE_NAT'}}));
  [machine] = await instances.get({project, zone, instance: 'w-1'});
  assert.deepEqual([machine.labels, machine.tags.items, machine.metadata.items[0].key, machine.disks.length], [{role: 'w', team: 'data'}, ['node', 'web'], 'k', 2]);
  assert.match(machine.networkInterfaces[0].accessConfigs[0].natIP, /^198\.18\./);

  await refused('400 invalidResourceUsage', /TERMINATED/, instances.setMachineType({project, zone, instance: 'w-1', instancesSetMachineTypeRequestResource: {machineType: `zones/${zone}/machineTypes/e2-small`}}));
  await done(instances.stop({project, zone, instance: 'w-1'}));
  await done(instances.setMachineType({project, zone, instance: 'w-1', instancesSetMachineTypeRequestResource: {machineType: `zones/${zone}/machineTypes/e2-small`}}));
  await done(instances.start({project, zone, instance: 'w-1'}));
  assert.equal((await instances.get({project, zone, instance: 'w-1'}))[0].status, 'RUNNING');
  await done(instances.detachDisk({project, zone, instance: 'w-1', deviceName: 'data'}));
  await done(disks.resize({project, zone, disk: 'data', disksResizeRequestResource: {sizeGb: '30'}}));
  assert.equal((await disks.get({project, zone, disk: 'data'}))[0].sizeGb, '30');
  assert.match((await instances.getSerialPortOutput({project, zone, instance: 'w-1'}))[0].contents, /login:/);
}

async function remove() {
  const by = /is already being used by 'projects\/skyweld-lab\//;
  await refused(inUse, by, addresses.delete({project, region, address: 'cp'}));
  await refused(inUse, by, subnetworks.delete({project, region, subnetwork: 'sky'}));
  await refused(inUse, by, disks.delete({project, zone, disk: 'cp-1'}));
  const failed = await finish(networks.delete({project, network: 'sky'}));
  assert.equal(failed.error.errors[0].code, 'RESOURCE_IN_USE_BY_ANOTHER_RESOURCE');
  assert.equal(failed.httpErrorStatusCode, 400);
  for (const instance of ['cp-1', 'w-1', 'w-2']) await done(instances.delete({project, zone, instance}));
  await done(disks.delete({project, zone, disk: 'data'}));
  for (const address of ['a1', 'a2', 'cp']) await done(addresses.delete({project, region, address}));
  await done(routes.delete({project, route: 'out'}));
  await done(firewalls.delete({project, firewall: 'ssh'}));
  await done(subnetworks.delete({project, region, subnetwork: 'sky'}));
  await done(networks.delete({project, network: 'sky'}));
  await refused(missing, /networks\/sky' was not found/, networks.delete({project, network: 'sky'}));
  for (const left of [instances.listAsync({project, zone}), disks.listAsync({project, zone}), addresses.listAsync({project, region}), firewalls.listAsync({project, filter: 'name=ssh'}),
    networks.listAsync({project, filter: 'name=sky'}), routes.listAsync({project, filter: 'network:networks/sky'})]) {
    assert.deepEqual(names(await collect(left)), []);
  }
}

try {
  for (const part of [catalogue, make, list, change, remove]) await part();
  assert.equal(tokens, 1, 'the client asks for a token once');
} catch (error) {
  console.error(error.stack);
  process.exitCode = 1;
}
