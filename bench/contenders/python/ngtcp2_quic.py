"""ngtcp2 (Debian's 0.12) with GnuTLS."""
import service, shimmed_quic


class NGTCP2(shimmed_quic.ShimmedQUIC):
    resumes = True

    def version(self):
        return {"name": "ngtcp2", "version": shimmed_quic.library.quic_version().decode(), "encryption": "QUIC, TLS 1.3",
                "notes": "Debian 0.12, before 1.0; C transport, driven from Python"}


def options(parser):
    parser.add_argument("--congestion", choices=["cubic", "bbr"], default="cubic")


if __name__ == "__main__":
    shimmed_quic.load("ngtcp2")
    service.main(NGTCP2(), options)
