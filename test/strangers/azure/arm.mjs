// Uses Azure's clients for JavaScript as a program would: makes, lists, polls, changes and deletes all that a site needs,
// and deletes in the wrong order too. Their types are strict about dates, and their pollers have an opinion of their own on
// the headers of long operations.
import { createRequire } from 'node:module';
import assert from 'node:assert/strict';

const require = createRequire(`${process.env.LAB_PACKAGES}/`);
const { NetworkManagementClient } = require('@azure/arm-network');
const { ComputeManagementClient } = require('@azure/arm-compute');
const { ResourceManagementClient } = require('@azure/arm-resources');
const { ClientSecretCredential } = require('@azure/identity');

const { LAB_URL: endpoint, LAB_SUBSCRIPTION: subscription, LAB_TENANT: tenant, LAB_CLIENT: client, LAB_SECRET: secret } = process.env;
const credential = new ClientSecretCredential(tenant, client, secret, { authorityHost: endpoint, disableInstanceDiscovery: true });
const options = { endpoint, credentialScopes: [`${endpoint}/.default`], credentials: { scopes: [`${endpoint}/.default`] }, retryOptions: { maxRetries: 0 } };
const network = new NetworkManagementClient(credential, subscription, options);
const compute = new ComputeManagementClient(credential, subscription, options);
const resources = new ResourceManagementClient(credential, subscription, options);

const location = 'westeurope', group = 'strangers';
let calls = 0;

// step does one thing and says so.
async function step(what, promise) {
  try {
    const out = await promise;
    calls++;
    return out;
  } catch (e) {
    throw new Error(`${what}: ${e.statusCode ?? ''} ${e.code ?? ''} ${e.message}`, { cause: e });
  }
}

// refused expects the error of a code.
async function refused(what, code, promise) {
  await assert.rejects(promise, (e) => {
    assert.equal(e.code, code, `${what}: ${e.message}`);
    return true;
  });
  calls++;
}

async function all(pages) {
  const out = [];
  for await (const item of pages) out.push(item);
  calls++;
  return out;
}

// until calls the old clients' "…AndWait", or waits for the new ones' poller.
function until(api, verb, ...args) {
  return api[`begin${verb[0].toUpperCase()}${verb.slice(1)}AndWait`] ? api[`begin${verb[0].toUpperCase()}${verb.slice(1)}AndWait`](...args) : api[verb](...args);
}

// What there is to have.
assert.equal((await step('look at the provider', resources.providers.get('Microsoft.Compute'))).registrationState, 'Registered');
await step('register a provider', resources.providers.register('Microsoft.Network'));
assert((await all(resources.providers.list())).length >= 3);
assert((await all(compute.virtualMachineSizes.list(location))).some((s) => s.name === 'Standard_B2s' && s.numberOfCores === 2));
assert((await step('list publishers', compute.virtualMachineImages.listPublishers(location))).some((p) => p.name === 'Debian'));
assert((await step('list offers', compute.virtualMachineImages.listOffers(location, 'Debian'))).some((o) => o.name === 'debian-12'));
assert((await step('list the SKUs of an offer', compute.virtualMachineImages.listSkus(location, 'Debian', 'debian-12'))).some((k) => k.name === '12-gen2'));
const versions = await step('list versions', compute.virtualMachineImages.list(location, 'Debian', 'debian-12', '12-gen2'));
const image = await step('look at an image', compute.virtualMachineImages.get(location, 'Debian', 'debian-12', '12-gen2', versions.at(-1).name));
assert.equal(image.osDiskImage.operatingSystem, 'Linux');

await refused('look for a group that is not there', 'ResourceGroupNotFound', resources.resourceGroups.get(group));
await step('make the group', resources.resourceGroups.createOrUpdate(group, { location, tags: { owner: 'strangers' } }));
assert.equal((await step('tag the group', resources.resourceGroups.update(group, { tags: { owner: 'strangers', a: 'b' } }))).tags.a, 'b');
assert.equal((await step('is it there', resources.resourceGroups.checkExistence(group))).body, true);
assert.equal((await all(resources.resourceGroups.list({ filter: "tagName eq 'a' and tagValue eq 'b'" }))).length, 1);
const fw = await step('make a security group', until(network.networkSecurityGroups, 'createOrUpdate', group, 'fw', {
  location, securityRules: [{
    name: 'ssh', priority: 100, direction: 'Inbound', access: 'Allow', protocol: 'Tcp', sourceAddressPrefix: '*', sourcePortRange: '*', destinationAddressPrefix: '*', destinationPortRange: '22',
  }],
}));
assert.equal(fw.defaultSecurityRules.length, 6);
const rule = (priority) => ({ priority, direction: 'Inbound', access: 'Allow', protocol: 'Udp', sourceAddressPrefixes: ['192.0.2.0/24', '198.51.100.0/24'], sourcePortRange: '*', destinationAddressPrefix: '*', destinationPortRanges: ['51820', '51830-51840'] });
await step('make a rule', until(network.securityRules, 'createOrUpdate', group, 'fw', 'tunnel', rule(110)));
await refused('make a rule of the same priority', 'SecurityRuleConflict', until(network.securityRules, 'createOrUpdate', group, 'fw', 'twice', rule(110)));
assert.equal((await all(network.securityRules.list(group, 'fw'))).length, 2);
assert.deepEqual((await step('look at a rule', network.securityRules.get(group, 'fw', 'tunnel'))).destinationPortRanges, ['51820', '51830-51840']);
await step('delete a rule', until(network.securityRules, 'delete', group, 'fw', 'tunnel'));
await step('make a network', until(network.virtualNetworks, 'createOrUpdate', group, 'net', { location, addressSpace: { addressPrefixes: ['10.9.0.0/16'] } }));
const subnet = await step('make a subnet', until(network.subnets, 'createOrUpdate', group, 'net', 'nodes', { addressPrefix: '10.9.0.0/24', networkSecurityGroup: { id: fw.id } }));
await refused('make a subnet that overlaps', 'NetcfgSubnetRangesOverlap', until(network.subnets, 'createOrUpdate', group, 'net', 'twice', { addressPrefix: '10.9.0.128/25' }));
assert.equal((await step('tag the network', network.virtualNetworks.updateTags(group, 'net', { tags: { a: 'b' } }))).tags.a, 'b');
assert.equal((await all(network.subnets.list(group, 'net'))).length, 1);
assert.equal((await step('ask for an address', network.virtualNetworks.checkIPAddressAvailability(group, 'net', '10.9.0.9'))).available, true);
assert((await all(network.virtualNetworks.listUsage(group, 'net')))[0].limit > 200);
await step('make a route table', until(network.routeTables, 'createOrUpdate', group, 'rt', { location, routes: [] }));
await step('make a route', until(network.routes, 'createOrUpdate', group, 'rt', 'pods', { addressPrefix: '10.216.0.0/24', nextHopType: 'VirtualAppliance', nextHopIpAddress: '10.9.0.4' }));
const address = await step('make an address', until(network.publicIPAddresses, 'createOrUpdate', group, 'ip', { location, sku: { name: 'Standard' }, publicIPAllocationMethod: 'Static' }));
assert.match(address.ipAddress, /^198\.1[89]\./);
const nic = await step('make an interface', until(network.networkInterfaces, 'createOrUpdate', group, 'nic', {
  location, enableIPForwarding: true, ipConfigurations: [{ name: 'a', subnet: { id: subnet.id }, publicIPAddress: { id: address.id } }],
}));
assert.equal(nic.ipConfigurations[0].privateIPAddress, '10.9.0.4');
const etag = (await step('look at the interface', network.networkInterfaces.get(group, 'nic'))).etag;
assert.equal(etag, nic.etag);
await step('make a spare interface', until(network.networkInterfaces, 'createOrUpdate', group, 'spare', { location, ipConfigurations: [{ name: 'a', subnet: { id: subnet.id }, privateIPAddress: '10.9.0.9', privateIPAllocationMethod: 'Static' }] }));
await refused('take an address that is taken', 'PrivateIPAddressIsAllocated', until(network.networkInterfaces, 'createOrUpdate', group, 'third', { location, ipConfigurations: [{ name: 'a', subnet: { id: subnet.id }, privateIPAddress: '10.9.0.9', privateIPAllocationMethod: 'Static' }] }));
const machine = await step('make a machine', until(compute.virtualMachines, 'createOrUpdate', group, 'vm', {
  location, hardwareProfile: { vmSize: 'Standard_B2s' }, networkProfile: { networkInterfaces: [{ id: nic.id }] },
  storageProfile: { imageReference: { publisher: 'Debian', offer: 'debian-12', sku: '12-gen2', version: 'latest' }, osDisk: { name: 'os', createOption: 'FromImage', deleteOption: 'Delete' } },
  osProfile: { computerName: 'vm', adminUsername: 'stranger', adminPassword: 'Str4nge-Enough', customData: Buffer.from('#cloud-config\n').toString('base64') },
}));
assert.equal(machine.provisioningState, 'Succeeded');
assert(machine.timeCreated instanceof Date);
const view = await step('look at it', compute.virtualMachines.instanceView(group, 'vm'));
assert(view.statuses.some((s) => s.code === 'PowerState/running'));
const changed = await step('change it', until(compute.virtualMachines, 'update', group, 'vm', { tags: { a: 'b' }, diagnosticsProfile: { bootDiagnostics: { enabled: true } } }));
assert.equal(changed.tags.a, 'b');
assert((await step('read its console', compute.virtualMachines.retrieveBootDiagnosticsData(group, 'vm'))).serialConsoleLogBlobUri.startsWith(endpoint));
await step('restart it', until(compute.virtualMachines, 'restart', group, 'vm'));
await step('switch it off', until(compute.virtualMachines, 'powerOff', group, 'vm'));
assert((await step('look at it', compute.virtualMachines.instanceView(group, 'vm'))).statuses.some((s) => s.code === 'PowerState/stopped'));
await step('deallocate it', until(compute.virtualMachines, 'deallocate', group, 'vm'));
await step('start it', until(compute.virtualMachines, 'start', group, 'vm'));
await step('make a disk', until(compute.disks, 'createOrUpdate', group, 'data', { location, diskSizeGB: 8, creationData: { createOption: 'Empty' } }));
const disk = await step('change a disk', until(compute.disks, 'update', group, 'data', { diskSizeGB: 16, tags: { a: 'b' } }));
assert.equal(disk.diskSizeGB, 16);
assert(disk.timeCreated instanceof Date);
await refused('make it smaller', 'OperationNotAllowed', until(compute.disks, 'update', group, 'data', { diskSizeGB: 4 }));

assert.equal((await all(network.virtualNetworks.listAll())).length, 1);
assert.equal((await all(network.networkInterfaces.listAll())).length, 2);
assert.equal((await all(network.networkSecurityGroups.listAll())).length, 1);
assert.equal((await all(compute.disks.listByResourceGroup(group))).length, 2);
const shown = await all(compute.virtualMachines.list(group, { expand: 'instanceView' }));
assert(shown[0].instanceView.statuses.some((s) => s.code === 'PowerState/running'));
assert((await all(network.usages.list(location))).some((u) => u.name.value === 'PublicIPAddresses' && u.currentValue === 1));
const tagged = await all(resources.resources.list({ filter: "tagName eq 'a' and tagValue eq 'b'" }));
assert.deepEqual(tagged.map((r) => r.name).sort(), ['data', 'net', 'vm']);
assert.equal((await all(network.publicIPAddresses.list(group))).length, 1);
assert.equal((await all(compute.virtualMachines.listAll())).length, 1);
assert.equal((await all(compute.disks.list())).length, 2);
assert.equal((await all(network.networkWatchers.listAll())).length, 1);
assert((await all(compute.resourceSkus.list({ filter: `location eq '${location}'` }))).some((s) => s.name === 'Standard_D4s_v5'));
const usages = compute.usageOperations ?? compute.usage;
assert((await all(usages.list(location))).some((u) => u.name.value === 'cores' && u.currentValue === 2));
assert((await all(resources.resources.listByResourceGroup(group))).length >= 8);

await refused('delete a network in use', 'InUseSubnetCannotBeDeleted', until(network.virtualNetworks, 'delete', group, 'net'));
await refused('delete a group in use', 'InUseNetworkSecurityGroupCannotBeDeleted', until(network.networkSecurityGroups, 'delete', group, 'fw'));
await refused('delete an address in use', 'PublicIPAddressCannotBeDeleted', until(network.publicIPAddresses, 'delete', group, 'ip'));
await refused('delete an interface in use', 'NicInUse', until(network.networkInterfaces, 'delete', group, 'nic'));
await refused('look for what is not there', 'ResourceNotFound', compute.virtualMachines.get(group, 'none'));
await step('delete the machine', until(compute.virtualMachines, 'delete', group, 'vm'));
await refused('look for the disk that went with it', 'ResourceNotFound', compute.disks.get(group, 'os'));
await step('delete the spare interface', until(network.networkInterfaces, 'delete', group, 'spare'));
await step('delete the interface', until(network.networkInterfaces, 'delete', group, 'nic'));
await step('delete the address', until(network.publicIPAddresses, 'delete', group, 'ip'));
await step('delete the subnet', until(network.subnets, 'delete', group, 'net', 'nodes'));
await step('delete the group with the rest', until(resources.resourceGroups, 'delete', group));
await refused('look for the group', 'ResourceGroupNotFound', resources.resourceGroups.get(group));
console.log(`${calls} calls`);
