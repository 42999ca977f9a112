// The generated binding with an initialiser of our own. Its own one starts JavaCPP's runtime, which makes proxies for the annotations of its
// Pointer family: 6 % of the time to a first token. Our binding passes handles and buffers only and needs members of
// java.nio.Buffer, nothing of JavaCPP's classes or native library.
#define JNI_OnLoad JavaCPP_OnLoad
#define JNI_OnUnload JavaCPP_OnUnload
#include QW_JNI_SOURCE  // with jni.h
#undef JNI_OnLoad
#undef JNI_OnUnload

extern "C" {

// What the initialiser that nobody calls refers to.
jint JNI_OnLoad_jnijavacpp(JavaVM*, void*) { return JNI_VERSION_1_6; }
void JNI_OnUnload_jnijavacpp(JavaVM*, void*) {}

JNIEXPORT jint JNICALL JNI_OnLoad(JavaVM* vm, void*) {
  JNIEnv* env;
  if (vm->GetEnv(reinterpret_cast<void**>(&env), JNI_VERSION_1_6) != JNI_OK) return JNI_ERR;
  const jclass buffer = env->FindClass("java/nio/Buffer");
  if (buffer == nullptr) return JNI_ERR;
  JavaCPP_arrayMID = env->GetMethodID(buffer, "array", "()Ljava/lang/Object;");
  JavaCPP_arrayOffsetMID = JavaCPP_arrayMID == nullptr ? nullptr : env->GetMethodID(buffer, "arrayOffset", "()I");
  JavaCPP_bufferPositionFID = JavaCPP_arrayOffsetMID == nullptr ? nullptr : env->GetFieldID(buffer, "position", "I");
  return JavaCPP_bufferPositionFID == nullptr ? JNI_ERR : JNI_VERSION_1_6;
}

}  // extern "C"
