// Package kube is Kubernetes as the engine needs it: the cluster's keys, kubeadm's config files, kubeconfigs, and the few
// calls to the API server and to etcd that joining, draining and removing nodes take. It runs nothing on a machine.
package kube

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// PKI holds everything secret of one cluster's control plane, as PEM. The engine keeps it, so that any control-plane node
// can be replaced and a kubeconfig signed without asking a node. It is secret as a whole.
type PKI struct {
	CA         KeyPair `json:"ca"`
	EtcdCA     KeyPair `json:"etcdCA"`
	FrontProxy KeyPair `json:"frontProxyCA"`
	// ServiceAccount signs service account tokens; its certificate part is a public key.
	ServiceAccount KeyPair `json:"serviceAccount"`
	// Encryption is the base64 of the 32-byte key that encrypts Secrets in etcd.
	Encryption string `json:"encryption"`
}

// KeyPair is a certificate (or public key) and its private key, in PEM.
type KeyPair struct {
	Cert string `json:"cert"`
	Key  string `json:"key"`
}

// caLife is how long the cluster's own authorities are good for, as kubeadm's.
const caLife = 10 * 365 * 24 * time.Hour

// NewPKI makes the keys of a new cluster.
func NewPKI(now time.Time) (PKI, error) {
	var p PKI
	var err error
	for name, to := range map[string]*KeyPair{"kubernetes": &p.CA, "etcd-ca": &p.EtcdCA, "front-proxy-ca": &p.FrontProxy} {
		if *to, err = newCA(name, now); err != nil {
			return PKI{}, fmt.Errorf("make the %s authority: %w", name, err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return PKI{}, fmt.Errorf("make the service account key: %w", err)
	}
	pub, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return PKI{}, fmt.Errorf("make the service account key: %w", err)
	}
	keyPEM, err := marshalKey(key)
	if err != nil {
		return PKI{}, err
	}
	p.ServiceAccount = KeyPair{Cert: encodePEM("PUBLIC KEY", pub), Key: keyPEM}
	enc := make([]byte, 32)
	if _, err := rand.Read(enc); err != nil {
		return PKI{}, fmt.Errorf("make the encryption key: %w", err)
	}
	p.Encryption = base64.StdEncoding.EncodeToString(enc)
	return p, nil
}

const pkiDir = "/etc/kubernetes/pki/"

// EncryptionConfigPath is where a control-plane node has the API server's encryption config.
const EncryptionConfigPath = "/etc/kubernetes/skyweld/encryption.yaml"

// Files are what a control-plane node must have before kubeadm runs, path to content.
func (p PKI) Files() map[string]string {
	return map[string]string{
		pkiDir + "ca.crt": p.CA.Cert, pkiDir + "ca.key": p.CA.Key,
		pkiDir + "etcd/ca.crt": p.EtcdCA.Cert, pkiDir + "etcd/ca.key": p.EtcdCA.Key,
		pkiDir + "front-proxy-ca.crt": p.FrontProxy.Cert, pkiDir + "front-proxy-ca.key": p.FrontProxy.Key,
		pkiDir + "sa.pub": p.ServiceAccount.Cert, pkiDir + "sa.key": p.ServiceAccount.Key,
		EncryptionConfigPath: "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers:\n" +
			"  - secretbox: {keys: [{name: key1, secret: " + p.Encryption + "}]}\n  - identity: {}\n",
	}
}

// Client signs a client certificate.
func (k KeyPair) Client(user string, groups []string, now time.Time, life time.Duration) (KeyPair, error) {
	caCert, caKey, err := k.parse()
	if err != nil {
		return KeyPair{}, fmt.Errorf("sign a certificate for %s: %w", user, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return KeyPair{}, fmt.Errorf("sign a certificate for %s: %w", user, err)
	}
	serial, err := newSerial()
	if err != nil {
		return KeyPair{}, err
	}
	tpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: user, Organization: groups},
		NotBefore: now.Add(-5 * time.Minute), NotAfter: now.Add(life),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, caCert, key.Public(), caKey)
	if err != nil {
		return KeyPair{}, fmt.Errorf("sign a certificate for %s: %w", user, err)
	}
	keyPEM, err := marshalKey(key)
	if err != nil {
		return KeyPair{}, err
	}
	return KeyPair{Cert: encodePEM("CERTIFICATE", der), Key: keyPEM}, nil
}

func newCA(name string, now time.Time) (KeyPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return KeyPair{}, err
	}
	serial, err := newSerial()
	if err != nil {
		return KeyPair{}, err
	}
	tpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: now.Add(-5 * time.Minute), NotAfter: now.Add(caLife),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign,
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, key.Public(), key)
	if err != nil {
		return KeyPair{}, err
	}
	keyPEM, err := marshalKey(key)
	if err != nil {
		return KeyPair{}, err
	}
	return KeyPair{Cert: encodePEM("CERTIFICATE", der), Key: keyPEM}, nil
}

func (k KeyPair) parse() (*x509.Certificate, *ecdsa.PrivateKey, error) {
	cb, _ := pem.Decode([]byte(k.Cert))
	kb, _ := pem.Decode([]byte(k.Key))
	if cb == nil || kb == nil {
		return nil, nil, errors.New("the authority's certificate or key is not PEM")
	}
	cert, err := x509.ParseCertificate(cb.Bytes)
	if err != nil {
		return nil, nil, err
	}
	key, err := x509.ParseECPrivateKey(kb.Bytes)
	return cert, key, err
}

func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	return n.Add(n, big.NewInt(1)), nil
}

func marshalKey(key *ecdsa.PrivateKey) (string, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return "", fmt.Errorf("encode a private key: %w", err)
	}
	return encodePEM("EC PRIVATE KEY", der), nil
}

func encodePEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
