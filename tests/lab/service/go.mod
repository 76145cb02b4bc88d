module example.test/labsvc

go 1.21
