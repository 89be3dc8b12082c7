module github.com/skyweld/skyweld/bundle

go 1.26
