#include "CPacketCipher.h"

#ifdef __linux__

#include <limits.h>
#include <openssl/evp.h>
#include <pthread.h>

enum { TAG = 16, NONCE = 12 };

static EVP_CIPHER *kinds[3];
static pthread_once_t fetched = PTHREAD_ONCE_INIT;

// Looking a cipher up by its name takes microseconds.
static void fetch(void) {
    kinds[MAST_AES_GCM_128] = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
    kinds[MAST_AES_GCM_256] = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    kinds[MAST_CHACHA20_POLY1305] = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
}

int mast_cipher_exists(enum mast_cipher_kind kind) {
    pthread_once(&fetched, fetch);
    return kinds[kind] != NULL;
}

// The library's context is ours: nothing stands beside it.
static EVP_CIPHER_CTX *context(struct mast_cipher *cipher) { return (EVP_CIPHER_CTX *)cipher; }

struct mast_cipher *mast_cipher_new(enum mast_cipher_kind kind, const uint8_t *key, int seals) {
    if (!mast_cipher_exists(kind)) return NULL;
    EVP_CIPHER_CTX *made = EVP_CIPHER_CTX_new();
    if (made == NULL || EVP_CipherInit_ex2(made, kinds[kind], key, NULL, seals, NULL) != 1) {
        EVP_CIPHER_CTX_free(made);
        return NULL;
    }
    return (struct mast_cipher *)made;
}

void mast_cipher_free(struct mast_cipher *cipher) { EVP_CIPHER_CTX_free(context(cipher)); }

int mast_cipher_seal(
    struct mast_cipher *cipher, const uint8_t nonce[NONCE], const uint8_t *header, size_t header_bytes, uint8_t *payload, size_t payload_bytes) {
    EVP_CIPHER_CTX *ctx = context(cipher);
    int written;
    return header_bytes <= INT_MAX && payload_bytes <= INT_MAX && EVP_EncryptInit_ex2(ctx, NULL, NULL, nonce, NULL) == 1
        && EVP_EncryptUpdate(ctx, NULL, &written, header, (int)header_bytes) == 1
        && EVP_EncryptUpdate(ctx, payload, &written, payload, (int)payload_bytes) == 1
        && EVP_EncryptFinal_ex(ctx, payload + payload_bytes, &written) == 1
        && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG, payload + payload_bytes) == 1;
}

int mast_cipher_open(
    struct mast_cipher *cipher, const uint8_t nonce[NONCE], const uint8_t *header, size_t header_bytes, uint8_t *sealed, size_t sealed_bytes) {
    EVP_CIPHER_CTX *ctx = context(cipher);
    if (sealed_bytes < TAG || header_bytes > INT_MAX || sealed_bytes > INT_MAX) return 0;
    size_t payload_bytes = sealed_bytes - TAG;
    int written;
    return EVP_DecryptInit_ex2(ctx, NULL, NULL, nonce, NULL) == 1
        && EVP_DecryptUpdate(ctx, NULL, &written, header, (int)header_bytes) == 1
        && EVP_DecryptUpdate(ctx, sealed, &written, sealed, (int)payload_bytes) == 1
        && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG, sealed + payload_bytes) == 1
        && EVP_DecryptFinal_ex(ctx, sealed + payload_bytes, &written) == 1;
}

#endif
