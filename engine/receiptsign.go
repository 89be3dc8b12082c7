package engine

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Signature is that of a receipt, over its canonical form without the signature.
type Signature struct {
	Algorithm string `json:"algorithm"`
	// Key is the public key, Value the signature, both in base64.
	Key   string `json:"key"`
	Value string `json:"value"`
}

// signatureAlgorithm is the only one.
const signatureAlgorithm = "ed25519"

// sign signs a receipt and returns it as it is kept.
func (r *Receipt) sign(key ed25519.PrivateKey) ([]byte, error) {
	r.Signature = nil
	plain, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("the receipt of cluster %s: %w", r.Cluster.Name, err)
	}
	text, _, err := canonicalReceipt(plain)
	if err != nil {
		return nil, err
	}
	r.Signature = &Signature{
		Algorithm: signatureAlgorithm, Key: base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey)),
		Value: base64.StdEncoding.EncodeToString(ed25519.Sign(key, text)),
	}
	return json.Marshal(r)
}

// VerifyReceipt checks the signature of a receipt, in JSON of whatever layout, with the engine's public key, and returns the
// receipt.
func VerifyReceipt(document []byte, key ed25519.PublicKey) (Receipt, error) {
	var r Receipt
	text, signature, err := canonicalReceipt(document)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(document, &r); err != nil || r.Kind != receiptKind {
		return r, fmt.Errorf("this is no receipt: its kind is %q, want %s", r.Kind, receiptKind)
	}
	if signature == nil {
		return r, errors.New("the receipt is not signed: that of a cluster which isn't deleted yet never is")
	}
	if signature.Algorithm != signatureAlgorithm {
		return r, fmt.Errorf("the signature is of the algorithm %q, want %s", signature.Algorithm, signatureAlgorithm)
	}
	value, err := base64.StdEncoding.DecodeString(signature.Value)
	if err != nil {
		return r, fmt.Errorf("the signature is no base64: %w", err)
	}
	if !ed25519.Verify(key, text, value) {
		if signature.Key != base64.StdEncoding.EncodeToString(key) {
			return r, fmt.Errorf("the receipt was signed with the key %s, which is not this engine's: ask the engine that the cluster was of", signature.Key)
		}
		return r, errors.New("the receipt was changed after it was signed: its signature doesn't fit it")
	}
	return r, nil
}

// canonicalReceipt takes the signature off a receipt and gives what is signed: the document by the JSON Canonicalization
// Scheme of RFC 8785, as far as receipts need it: no numbers are in them.
func canonicalReceipt(document []byte) ([]byte, *Signature, error) {
	var fields map[string]any
	dec := json.NewDecoder(bytes.NewReader(document))
	dec.UseNumber()
	if err := dec.Decode(&fields); err != nil {
		return nil, nil, fmt.Errorf("the receipt is no JSON: %w", err)
	}
	var signature *Signature
	if raw, ok := fields["signature"]; ok {
		delete(fields, "signature")
		text, err := json.Marshal(raw)
		if err == nil {
			err = json.Unmarshal(text, &signature)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("the receipt's signature: %w", err)
		}
	}
	var out bytes.Buffer
	err := canonical(&out, fields)
	return out.Bytes(), signature, err
}

// canonical writes a value with its fields in order, no spaces, and only those characters escaped that must be.
func canonical(out *bytes.Buffer, v any) error {
	switch x := v.(type) {
	case map[string]any:
		out.WriteByte('{')
		for n, name := range slices.Sorted(maps.Keys(x)) {
			if n > 0 {
				out.WriteByte(',')
			}
			canonicalText(out, name)
			out.WriteByte(':')
			if err := canonical(out, x[name]); err != nil {
				return err
			}
		}
		out.WriteByte('}')
	case []any:
		out.WriteByte('[')
		for n, e := range x {
			if n > 0 {
				out.WriteByte(',')
			}
			if err := canonical(out, e); err != nil {
				return err
			}
		}
		out.WriteByte(']')
	case string:
		canonicalText(out, x)
	case bool:
		fmt.Fprint(out, x)
	case nil:
		out.WriteString("null")
	default:
		return fmt.Errorf("a receipt has no numbers, found %v", x)
	}
	return nil
}

var escapes = strings.NewReplacer(`"`, `\"`, `\`, `\\`, "\b", `\b`, "\f", `\f`, "\n", `\n`, "\r", `\r`, "\t", `\t`)

func canonicalText(out *bytes.Buffer, text string) {
	out.WriteByte('"')
	for _, c := range escapes.Replace(text) {
		if c < ' ' {
			fmt.Fprintf(out, `\u%04x`, c)
		} else {
			out.WriteRune(c)
		}
	}
	out.WriteByte('"')
}
