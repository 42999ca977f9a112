// The generated binding expects the initialiser of JavaCPP's own library, which caches the classes of its Pointer family. Our binding
// passes handles and buffers only, so nothing of that is needed, and JavaCPP's native library neither.
#include <jni.h>

extern "C" {
jint JNI_OnLoad_jnijavacpp(JavaVM*, void*) { return JNI_VERSION_1_6; }
void JNI_OnUnload_jnijavacpp(JavaVM*, void*) {}
}
