// One module to import for whoever makes or serves calls: the calls themselves, the UDP driver under them, and
// the values both speak in (`Interval`, `NetworkAddress`, `PublicKey`, …).
@_exported import MastRPC
@_exported import MastTimebase
@_exported import MastTransport
@_exported import MastUDPDriver
