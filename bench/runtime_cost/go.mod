module example.test/runtimecost

go 1.21
