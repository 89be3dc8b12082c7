module github.com/skyweld/skyweld/bundle/programs/pause

go 1.26.0
