// Package web is the console: pages for people over the API, and nothing that the API can't do. It decides nothing about
// clusters and reads no database; it asks an *api.Client as whoever is signed in.
//
// Pages are made on the server (templ, pictures as SVG) and are whole without the script: links, forms, and a redirect after
// each form. The script (assets/skyweld.js) follows what happens and counts times on.
//
// # How a page is added
//
// A page has a file NAME.go for what it needs, and a file NAME.templ for how it looks.
//
//   - NAME.go has a list of pages (as clusterPages in clusters.go has), with path, rights and functions; New in web.go joins the
//     lists. An entry of the main navigation goes into sections (frame.go), a page of a cluster into tabs (cluster.go).
//   - show gets a *call: a.api asks the API as who is signed in, a.arg is a part of the path, a.query a parameter, a.may says
//     which buttons to show, a.together reads several things at once. It returns a view. Its error becomes a page with the
//     API's words.
//   - do is for a page with a form, which is sent to the page's own address. It reads a.input.values, asks the API, and says
//     where to go on ("" shows the page again with a.outcome). An error of the API is shown above the form and beside the
//     fields that it names, with what was entered kept: fields are named as in the API's body ("spec.name"), and take their
//     value from a.input.value(name, usual). a.input.wrong makes such an error here.
//   - In a form: @hidden() first, then @problems(names of its fields), then textField, selectField or others made alike. Fields
//     whose names begin with "secret" or "password" are never shown again and never carried along.
//   - What changes by itself stands in elements with an id and data-part, on a page whose view has live set: the script asks
//     for the page again when something happens and brings those elements up to date. Nothing else on the page moves. One that
//     grows at its top has data-grow with the id of a button: its new lines wait until that is pressed.
//   - States are shown by badge or note, whose tones (words.go) have a colour, a shape and a word; times by ago; lengths of time
//     by span; tables have a caption and scopes, and the class "cards" where they are wide.
//   - Styles use the tokens at the top of assets/skyweld.css. There are no style attributes and no inline scripts: the policy
//     forbids both.
//
// After a change of a .templ file: go generate ./web. TestGenerated tells when that was forgotten.
package web

//go:generate go run github.com/a-h/templ/cmd/templ@v0.3.977 generate -include-version=false
