import Crypto
import MastRPC
import MastTimebase
import MastTransport

/// What a new station needs in order to join: whom to call, whom to believe, and a secret by which the center
/// recognises it. Printed as `mast1.` and base64url. Whoever reads it may join once, until it expires.
package struct JoinToken: Hashable, Sendable {
    package static let defaultLifetime = Interval.seconds(3600)

    package var rootKey: SigningPublicKey
    package var communicationServer: HostPort
    package var communicationServerKey: PublicKey
    /// 16 bytes.
    package var tokenID: [UInt8]
    /// 32 bytes: a secret, never sent.
    package var secret: [UInt8]
    package var notAfter: WallTime

    package init(
        rootKey: SigningPublicKey, communicationServer: HostPort, communicationServerKey: PublicKey,
        notAfter: WallTime, using generator: inout some RandomNumberGenerator
    ) {
        self.rootKey = rootKey
        self.communicationServer = communicationServer
        self.communicationServerKey = communicationServerKey
        self.tokenID = generator.bytes(16)
        self.secret = generator.bytes(32)
        self.notAfter = notAfter
    }

    package var text: String {
        var writer = CanonicalWriter()
        writer.key(rootKey)
        writer.text(communicationServer.description)
        writer.key(communicationServerKey)
        writer.bytes(tokenID)
        writer.bytes(secret)
        writer.time(notAfter)
        return "mast1." + Base64URL.encode(writer.bytes)
    }

    package init(text: String) throws(TrustError) {
        guard text.hasPrefix("mast1."), text.utf8.count <= 4096, let bytes = Base64URL.decode(String(text.dropFirst(6))) else {
            throw .malformed("join token: it begins with \"mast1.\" and is printed by the center")
        }
        var reader = CanonicalReader(bytes)
        rootKey = try reader.signingKey()
        guard let server = try? HostPort(try reader.text(atMost: HostPort.mostBytes)) else { throw .malformed("join token address") }
        communicationServer = server
        communicationServerKey = try reader.transportKey()
        tokenID = try reader.bytes(atMost: 16)
        secret = try reader.bytes(atMost: 32)
        notAfter = try reader.time()
        try reader.finish()
        guard tokenID.count == 16, secret.count == 32 else { throw .malformed("join token") }
    }

    /// What the center keeps instead of the secret.
    package var verifier: [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: Array("mast join v1".utf8), using: SymmetricKey(data: secret)))
    }
}

/// A station's request to become part of the cloud. The communication server passes it on and cannot change it
/// or make one: the code proves possession of the token's secret without showing it.
package struct JoinRequest: Codable, Hashable, Sendable {
    package var tokenID: ByteString
    package var name: String
    package var transportKey: ByteString
    package var signingKey: ByteString
    package var addresses: [String]
    package var code: ByteString

    package init(
        token: JoinToken, name: String, transportKey: PublicKey, signingKey: SigningPublicKey, addresses: [NetworkAddress]
    ) {
        tokenID = ByteString(token.tokenID)
        self.name = name
        self.transportKey = ByteString(transportKey.bytes)
        self.signingKey = ByteString(signingKey.bytes)
        self.addresses = addresses.map(\.description)
        code = ByteString([])
        code = ByteString(Array(authentication(verifier: token.verifier)))
    }

    package func isAuthentic(verifier: [UInt8]) -> Bool {
        HMAC<SHA256>.isValidAuthenticationCode(code.bytes, authenticating: message, using: SymmetricKey(data: verifier))
    }

    private func authentication(verifier: [UInt8]) -> HMAC<SHA256>.MAC {
        HMAC<SHA256>.authenticationCode(for: message, using: SymmetricKey(data: verifier))
    }

    private var message: [UInt8] {
        var writer = CanonicalWriter()
        writer.bytes(tokenID.bytes)
        writer.text(name)
        writer.bytes(transportKey.bytes)
        writer.bytes(signingKey.bytes)
        writer.list(addresses) { $0.text($1) }
        return writer.bytes
    }
}
