package ec2

import (
	"crypto/ed25519"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

type createKey struct {
	tagSpecs
	Name   string `q:"KeyName,required"`
	Type   string `q:"KeyType"`
	Format string `q:"KeyFormat"`
}

type keyAnswer struct {
	meta
	Name        string       `xml:"keyName"`
	Fingerprint string       `xml:"keyFingerprint"`
	Material    string       `xml:"keyMaterial,omitempty"`
	ID          string       `xml:"keyPairId"`
	Tags        set[tagPair] `xml:"tagSet"`
}

func (c *call) checkKeyName(name string) error {
	if len(name) > 255 {
		return invalidValue(name, "KeyName", "Character count must be at most 255.")
	}
	for _, k := range c.region.KeyPairs {
		if k.Name == name {
			return apiErrorf("InvalidKeyPair.Duplicate", "The keypair already exists")
		}
	}
	return nil
}

func (c *call) createKey(in *createKey) (*keyAnswer, error) {
	if err := c.checkKeyName(in.Name); err != nil {
		return nil, err
	}
	if in.Format != "" && in.Format != "pem" {
		return nil, apiErrorf("UnsupportedOperation", "The key format %s is not supported here", in.Format)
	}
	set, err := in.of(kindKeyPair)
	if err != nil {
		return nil, err
	}
	if in.Type != "" && in.Type != "rsa" && in.Type != "ed25519" {
		return nil, invalidValue(in.Type, "keyType", "Expected: rsa or ed25519")
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	k := &keyPair{ID: newID(kindKeyPair.prefix), Name: in.Name, Type: in.Type, Created: c.now}
	var material string
	if in.Type == "ed25519" {
		material, err = k.makeEd25519()
	} else {
		k.Type = "rsa"
		material, err = k.makeRSA()
	}
	if err != nil {
		return nil, fmt.Errorf("make key pair %s: %w", in.Name, err)
	}
	c.region.KeyPairs[k.ID] = k
	c.region.setTags(k.ID, set)
	return &keyAnswer{Name: k.Name, Fingerprint: k.Fingerprint, Material: material, ID: k.ID, Tags: set.view()}, nil
}

// makeRSA makes a key as EC2 does: 2048 bits, PKCS#1, the fingerprint being the SHA-1 of the private key in PKCS#8.
func (k *keyPair) makeRSA() (string, error) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", err
	}
	public, err := ssh.NewPublicKey(&private.PublicKey)
	if err != nil {
		return "", err
	}
	sum := sha1.Sum(der)
	k.Fingerprint, k.PublicKey = colons(sum[:]), authorized(public)
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)})), nil
}

// makeEd25519 makes a key in OpenSSH's form, with OpenSSH's fingerprint.
func (k *keyPair) makeEd25519() (string, error) {
	pub, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return "", err
	}
	public, err := ssh.NewPublicKey(pub)
	if err != nil {
		return "", err
	}
	k.Fingerprint, k.PublicKey = padded(public), authorized(public)
	return string(pem.EncodeToMemory(block)), nil
}

func authorized(k ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k)))
}

func colons(sum []byte) string {
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = fmt.Sprintf("%02x", b)
	}
	return strings.Join(parts, ":")
}

// padded is OpenSSH's SHA-256 fingerprint as EC2 writes it: without its name and with padding.
func padded(k ssh.PublicKey) string {
	return strings.TrimPrefix(ssh.FingerprintSHA256(k), "SHA256:") + "="
}

type importKey struct {
	tagSpecs
	Name   string `q:"KeyName,required"`
	Public string `q:"PublicKeyMaterial,required"`
}

func (c *call) importKey(in *importKey) (*keyAnswer, error) {
	if err := c.checkKeyName(in.Name); err != nil {
		return nil, err
	}
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(in.Public), ""))
	if err != nil {
		return nil, apiErrorf("InvalidKey.Format", "Key is not in valid OpenSSH public key format")
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(raw)
	if err != nil {
		return nil, apiErrorf("InvalidKey.Format", "Key is not in valid OpenSSH public key format")
	}
	k := &keyPair{ID: newID(kindKeyPair.prefix), Name: in.Name, Created: c.now, PublicKey: authorized(public)}
	if err := k.identify(public); err != nil {
		return nil, err
	}
	set, err := in.of(kindKeyPair)
	if err != nil {
		return nil, err
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	c.region.KeyPairs[k.ID] = k
	c.region.setTags(k.ID, set)
	return &keyAnswer{Name: k.Name, Fingerprint: k.Fingerprint, ID: k.ID, Tags: set.view()}, nil
}

// identify sets the type and the fingerprint of an imported key, which for RSA is the MD5 of the public key.
func (k *keyPair) identify(public ssh.PublicKey) error {
	switch key := public.(ssh.CryptoPublicKey).CryptoPublicKey().(type) {
	case ed25519.PublicKey:
		k.Type, k.Fingerprint = "ed25519", padded(public)
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits != 1024 && bits != 2048 && bits != 4096 {
			return apiErrorf("InvalidKey.Format", "The RSA key has %d bits; supported lengths are 1024, 2048, and 4096", bits)
		}
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return fmt.Errorf("key pair %s: %w", k.Name, err)
		}
		sum := md5.Sum(der)
		k.Type, k.Fingerprint = "rsa", colons(sum[:])
	default:
		return apiErrorf("InvalidKey.Format", "Keys of type %s are not supported; use RSA or ED25519", public.Type())
	}
	return nil
}

type deleteKey struct {
	Name string `q:"KeyName"`
	ID   string `q:"KeyPairId"`
}

type deleteKeyAnswer struct {
	meta
	Return bool   `xml:"return"`
	ID     string `xml:"keyPairId,omitempty"`
}

// deleteKey succeeds for a name that doesn't exist, as EC2's does.
func (c *call) deleteKey(in *deleteKey) (*deleteKeyAnswer, error) {
	if in.Name == "" && in.ID == "" {
		return nil, missingParameter("KeyName")
	}
	var found *keyPair
	for _, k := range c.region.KeyPairs {
		if in.ID != "" && k.ID == in.ID || in.ID == "" && k.Name == in.Name {
			found = k
		}
	}
	if found == nil && in.ID != "" {
		return nil, kindKeyPair.missing(in.ID)
	}
	if err := c.commit(); err != nil {
		return nil, err
	}
	out := &deleteKeyAnswer{Return: true}
	if found != nil {
		out.ID = found.ID
		delete(c.region.KeyPairs, found.ID)
		delete(c.region.Tags, found.ID)
	}
	return out, nil
}

type describeKeys struct {
	Names   []string `q:"KeyName"`
	IDs     []string `q:"KeyPairId"`
	Public  bool     `q:"IncludePublicKey"`
	Filters []filter `q:"Filter"`
}

type keyView struct {
	ID          string       `xml:"keyPairId"`
	Name        string       `xml:"keyName"`
	Fingerprint string       `xml:"keyFingerprint"`
	Type        string       `xml:"keyType"`
	Public      string       `xml:"publicKey,omitempty"`
	Created     string       `xml:"createTime"`
	Tags        set[tagPair] `xml:"tagSet"`
}

type describeKeysAnswer struct {
	meta
	Keys set[keyView] `xml:"keySet"`
}

func (c *call) describeKeys(in *describeKeys) (*describeKeysAnswer, error) {
	ids := in.IDs
	for _, name := range in.Names {
		id := ""
		for _, k := range c.region.KeyPairs {
			if k.Name == name {
				id = k.ID
			}
		}
		if id == "" {
			return nil, apiErrorf("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", name)
		}
		ids = append(ids, id)
	}
	list, err := search[*keyPair]{kindKeyPair, c.region.KeyPairs, ids, in.Filters, fields[*keyPair]{
		"fingerprint": func(k *keyPair) []string { return one(k.Fingerprint) },
		"key-name":    func(k *keyPair) []string { return one(k.Name) },
		"key-pair-id": func(k *keyPair) []string { return one(k.ID) },
		"key-type":    func(k *keyPair) []string { return one(k.Type) },
	}, func(k *keyPair) tags { return c.region.Tags[k.ID] }}.run()
	return &describeKeysAnswer{Keys: views(list, func(k *keyPair) keyView {
		v := keyView{ID: k.ID, Name: k.Name, Fingerprint: k.Fingerprint, Type: k.Type, Created: stamp(k.Created), Tags: c.region.Tags[k.ID].view()}
		if in.Public {
			v.Public = k.PublicKey
		}
		return v
	})}, err
}
