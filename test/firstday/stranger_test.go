package firstday_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/digitalocean/godo"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/oauth2"
)

// strangersDroplets makes a VPC at DigitalOcean.
func strangersDroplets(ctx context.Context, ts *testscript.TestScript, client *http.Client, name, ipRange, region string) error {
	client.Transport = &oauth2.Transport{Base: client.Transport, Source: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: ts.Getenv("DIGITALOCEAN_TOKEN")})}
	api, err := godo.New(client, godo.SetBaseURL(ts.Getenv("DIGITALOCEAN_API_URL")+"/"))
	if err != nil {
		return err
	}
	_, _, err = api.VPCs.Create(ctx, &godo.VPCCreateRequest{Name: name, RegionSlug: region, IPRange: ipRange})
	return err
}

// unregister takes a resource provider away from the subscription at Azure, as in one that has never used it.
func unregister(ctx context.Context, ts *testscript.TestScript, client *http.Client, namespace string) error {
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {ts.Getenv("AZURE_CLIENT_ID")}, "client_secret": {ts.Getenv("AZURE_CLIENT_SECRET")},
		"scope": {ts.Getenv("AZURE_RESOURCE_MANAGER_AUDIENCE") + "/.default"},
	}
	var login struct {
		Token string `json:"access_token"`
	}
	at := ts.Getenv("AZURE_AUTHORITY_HOST") + "/" + ts.Getenv("AZURE_TENANT_ID") + "/oauth2/v2.0/token"
	if err := post(ctx, client, at, "", form, &login); err != nil {
		return err
	}
	at = ts.Getenv("AZURE_RESOURCE_MANAGER_ENDPOINT") + "/subscriptions/" + ts.Getenv("AZURE_SUBSCRIPTION_ID") + "/providers/" + namespace + "/unregister?api-version=2021-04-01"
	return post(ctx, client, at, login.Token, nil, new(any))
}

func post(ctx context.Context, client *http.Client, at, token string, form url.Values, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, at, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	if r.Header.Set("Content-Type", "application/x-www-form-urlencoded"); token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", at, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
