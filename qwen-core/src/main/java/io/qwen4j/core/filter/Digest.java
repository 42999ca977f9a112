package io.qwen4j.core.filter;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/** SHA-256 of what has been read so far. Not thread-safe. */
final class Digest {
    private final MessageDigest digest = sha256();
    private final byte[] buffer = new byte[1 << 16];
    private long length;

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-256", e);
        }
    }

    static String of(String text) {
        return HexFormat.of().formatHex(sha256().digest(text.getBytes(StandardCharsets.UTF_8)));
    }

    /** Takes the bytes of a file up to a position. Returns whether the file has that many. */
    boolean readTo(RandomAccessFile file, long end) throws IOException {
        file.seek(length);
        while (length < end) {
            int n = file.read(buffer, 0, (int) Math.min(buffer.length, end - length));
            if (n < 0) {
                return false;
            }
            digest.update(buffer, 0, n);
            length += n;
        }
        return true;
    }

    /** The digest of all bytes taken; more may follow. */
    String value() {
        try {
            return HexFormat.of().formatHex(((MessageDigest) digest.clone()).digest());
        } catch (CloneNotSupportedException e) {
            throw new IllegalStateException("the JDK's SHA-256 can be cloned", e);
        }
    }
}
